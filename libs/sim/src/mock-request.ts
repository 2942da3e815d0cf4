import type { FinishReason } from '@dynamo-ts/protocol';

/** One request to a simulated engine. */
export interface MockRequest {
  /** Prompt; a request that moved here appends what another engine has generated already. */
  readonly tokenIds: Uint32Array;
  /**
   * Most tokens to generate. Without it the answer ends by itself after 256 tokens at most, at a place that follows from
   * its tokens and the seed alone: a request that moves ends where it would have ended.
   */
  readonly maxTokens?: number | undefined;
  /** Tokens before anything but `maxTokens` may end the answer. @default 0 */
  readonly minTokens?: number | undefined;
  /** Reports the end of an answer without `maxTokens` as a length limit. @default false */
  readonly ignoreEos?: boolean | undefined;
  /** Generating one of these ends the answer; it is given out. */
  readonly stopTokenIds?: Uint32Array | undefined;
  /** The request's own sampling seed, u64. */
  readonly seed?: bigint | undefined;
  /** Adapter; its blocks are cached apart. */
  readonly loraName?: string | undefined;
  /** Its blocks are cached apart. */
  readonly cacheSalt?: string | undefined;
  /** Data-parallel rank. @default the least loaded one */
  readonly dpRank?: number | undefined;
}

/** Why a request could never run. */
export type MockRejection =
  | 'empty-prompt'
  | 'prompt-too-long'
  | 'prompt-exceeds-pass'
  | 'unknown-rank'
  | 'duplicate-id'
  | 'engine-failed';

/**
 * One request's news of one tick. The object and its arrays are reused for the next one: read, do not keep.
 */
export interface MockOutput {
  /** New tokens of all requests of this tick; this request's are those from `start` to before `end`. */
  readonly tokenIds: Uint32Array;
  readonly start: number;
  readonly end: number;
  /** 0 while the answer goes on. */
  readonly finish: FinishReason;
  /** Set when `finish` is an error. */
  readonly rejection: MockRejection | undefined;
  /** Data-parallel rank that serves it. */
  readonly dpRank: number;
  /** Prompt tokens reused from the cache. */
  readonly cachedTokens: number;
}

/** Takes a request's news. */
export interface MockReceiver {
  /** Called at most once per tick, synchronously for all requests of that tick; must not throw. */
  onOutput(output: MockOutput): void;
}

/** A submitted request. */
export interface MockHandle {
  /** Asks for its end; an output that says so follows, unless it has ended. Idempotent. */
  cancel(): void;
}
