/**
 * What the shim asks of an engine, whatever it is: mocker, echo, llama-server or any OpenAI-compatible server.
 *
 * The hot path is push style: an engine answers a request by writing encoded {@link GenerateResponse} messages to its
 * sink, synchronously and from any tick, so that one engine step can answer thousands of requests without a promise
 * each. Guarantees of an engine: every accepted request's sink is ended or failed exactly once, also when the engine
 * closes or crashes; a stopped context makes it give up the request at once; it never registers anything itself.
 */
import type { AbortOptions } from '@dynamo-ts/base';
import type { EngineEventAddress } from '@dynamo-ts/engine-events';
import type { ActiveLoad, GenerateRequest } from '@dynamo-ts/protocol';
import type { Context, ResponseSink } from '@dynamo-ts/runtime';

import type { EngineSleep } from './engine-sleep.ts';

/** Names of the engines. */
export const ENGINE_KINDS = ['mocker', 'echo', 'llama-server', 'openai'] as const;

const SERVER = 'start it, and attach to it as "openai" with --engine-url http://HOST:PORT';

/** What other names of engines are here. */
export const ENGINE_HINTS: Readonly<Record<string, string>> = {
  vllm: SERVER,
  sglang: SERVER,
  trtllm: SERVER,
  'tensorrt-llm': SERVER,
  tgi: SERVER,
  ollama: SERVER,
  llamacpp: 'it is "llama-server"',
  'llama.cpp': 'it is "llama-server"',
};

/** Name of an engine. */
export type EngineKind = (typeof ENGINE_KINDS)[number];

/** What an engine takes as its prompt. */
export type EngineInput = 'tokens' | 'text';

/** How an engine tells what its cache holds. */
export type EngineKvEvents =
  /** It does not; routers guess from what they sent to it. */
  | { readonly kind: 'none' }
  /** It reuses nothing, so that there is nothing to tell and nothing to guess. */
  | { readonly kind: 'uncached' }
  /** Through {@link EngineHost.kvEvents}. */
  | { readonly kind: 'host' }
  /** By ZeroMQ, one address per data-parallel rank. */
  | { readonly kind: 'sockets'; readonly addresses: readonly EngineEventAddress[] };

/** What an engine says about itself once it answers. Goes into the model card. */
export interface EngineFacts {
  /** The engine's own names of its model, its preferred one first; empty when it has no opinion. */
  readonly modelNames: readonly string[];
  readonly input: EngineInput;
  /** Most tokens of prompt and output together; undefined when the engine does not say. */
  readonly contextLength: number | undefined;
  /** Tokens per KV block; 0 when the engine does not say. */
  readonly blockSize: number;
  /** KV blocks per data-parallel rank; 0 when the engine does not say. */
  readonly totalKvBlocks: number;
  /** Most requests that it runs at once per rank; 0 when the engine does not say. */
  readonly maxSeqs: number;
  /** Most tokens of one engine step; 0 when the engine does not say. */
  readonly maxBatchedTokens: number;
  readonly dataParallelSize: number;
  /** The first of its ranks. @default 0 */
  readonly dataParallelStartRank?: number | undefined;
  /** @default none */
  readonly kvEvents?: EngineKvEvents | undefined;
  /** Its model's files, when this machine can read them; used for the card when no `--model-path` is given. */
  readonly modelPath?: string | undefined;
}

/** Whether routers learn from the worker what the engine holds. */
export function publishesKvEvents({ kvEvents = { kind: 'none' } }: EngineFacts): boolean {
  return kvEvents.kind !== 'none';
}

/** Load of one data-parallel rank; the shim adds its worker id and publishes it. */
export type EngineLoad = Omit<ActiveLoad, 'workerId'>;

/** What an engine tells the shim while it runs. Calls are cheap and may come from any tick. */
export interface EngineHost {
  /** The load may have changed; the shim reads {@link Engine.load} once per tick at most. */
  loadChanged(): void;
  /** What one engine step changed in the cache, as records of the simulator (`decodeKvEvents` of `@dynamo-ts/sim`). */
  kvEvents(records: Uint8Array): void;
  /**
   * The engine has died. The shim deregisters, fails what runs with `backend.engine_shutdown`, closes the engine and
   * starts it again with back-off.
   */
  crashed(error: Error): void;
}

/** Where an engine puts its answer to one request. */
export interface EngineSink extends ResponseSink {
  /**
   * The request was given up and the engine no longer works on it, which may be after the sink has ended. Left out by
   * callers that do not measure that.
   *
   * @param confirmed false when the engine has not said so within a minute. @default true
   */
  released?(confirmed?: boolean): void;
}

/** Settings of {@link Engine.start}. */
export interface EngineStartOptions extends AbortOptions {
  readonly host: EngineHost;
}

/** One engine behind the shim. `start` may be called again after `close`. */
export interface Engine extends AsyncDisposable {
  readonly kind: EngineKind;
  /** Left out by engines that cannot sleep. */
  readonly sleepMode?: EngineSleep;
  /**
   * Starts the engine, or attaches to it, and waits until it answers.
   *
   * @throws `config.invalid` when it can never work; anything else is tried again with back-off
   */
  start(options: EngineStartOptions): Promise<EngineFacts>;
  /**
   * Takes a request and returns at once; the answer goes to `sink` as encoded `GenerateResponse`s, the last of which
   * carries a finish reason. When `context.stopped` aborts, the request is given up and its sink ended;
   * {@link EngineSink.released} follows.
   *
   * @throws `request.invalid` for what this engine cannot do, before anything is written
   */
  generate(request: GenerateRequest, sink: EngineSink, context: Context): void;
  /** The present load, one entry per data-parallel rank. */
  load(): readonly EngineLoad[];
  /** The engine's own metrics page; empty when there is none right now. */
  metricsText?(): Promise<string>;
  /** Gives up all requests with `backend.engine_shutdown` and stops the engine. Idempotent. */
  close(): Promise<void>;
}

/** Bit of {@link EngineVocabulary.flags}: a control token that is no text. */
export const TOKEN_SPECIAL = 1;
/** Bit of {@link EngineVocabulary.flags}: decodes by itself to whole, printable UTF-8 text. */
export const TOKEN_PRINTABLE = 2;

/** What engines know of the model's vocabulary. */
export interface EngineVocabulary {
  /** One byte per token id; ids beyond it are unknown. */
  readonly flags: Uint8Array;
  readonly eosTokenIds: Uint32Array;
  /** The bytes that a token stands for; none for control tokens. */
  tokenBytes(tokenId: number): Uint8Array;
}
