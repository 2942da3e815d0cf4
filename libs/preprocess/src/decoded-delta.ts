import { tokenIdsFromBytes } from '@dynamo-ts/protocol';
import type { TokenLogprob } from '@dynamo-ts/protocol';

/** Why an answer ended, in OpenAI's words; `error` is an engine failure, which a client sees as an error or as `stop`. */
export type DecodedFinishReason = 'stop' | 'length' | 'content_filter' | 'tool_calls' | 'error';

/** What a {@link DecodedDelta} is made of. */
export interface DecodedDeltaOptions {
  readonly pieces: readonly string[];
  /** Little-endian ids of the accepted tokens. */
  readonly tokenIdsLe: Uint8Array;
  readonly logprobs: readonly TokenLogprob[] | undefined;
  readonly finishReason?: DecodedFinishReason | undefined;
  readonly stopReason?: string | number | undefined;
  readonly stopEngine: boolean;
}

/** What one message of the engine adds to a choice. */
export class DecodedDelta {
  /**
   * Text that each accepted token completed, aligned with {@link tokenIds}; '' where a character or a possible stop
   * string is still incomplete. Text of a message without ids is one entry.
   */
  readonly pieces: readonly string[];
  /** One entry per accepted token when the engine gave logprobs. */
  readonly logprobs: readonly TokenLogprob[] | undefined;
  /** Set on the last delta. */
  readonly finishReason: DecodedFinishReason | undefined;
  /** The stop string or the stop id that the client named; never for end-of-sequence. */
  readonly stopReason: string | number | undefined;
  /** The choice ended here, not in the engine: tell the engine to stop. */
  readonly stopEngine: boolean;
  readonly #tokenIdsLe: Uint8Array;

  constructor(options: DecodedDeltaOptions) {
    this.pieces = options.pieces;
    this.logprobs = options.logprobs;
    this.finishReason = options.finishReason;
    this.stopReason = options.stopReason;
    this.stopEngine = options.stopEngine;
    this.#tokenIdsLe = options.tokenIdsLe;
  }

  /** All text of this delta. */
  get text(): string {
    return this.pieces.length === 1 ? (this.pieces[0] ?? '') : this.pieces.join('');
  }

  /** Accepted tokens, the one that ended the answer included. */
  get tokenCount(): number {
    return this.#tokenIdsLe.byteLength >>> 2;
  }

  /** Ids of the accepted tokens. Made on each call, because most readers only need the text. */
  get tokenIds(): Uint32Array {
    return tokenIdsFromBytes(this.#tokenIdsLe);
  }
}
