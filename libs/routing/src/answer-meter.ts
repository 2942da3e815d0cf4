/**
 * Counts and times one answer for the record of its decision, without decoding it: an encoded `GenerateResponse` begins
 * with its token ids, so their number stands in the first bytes.
 */
import type { RequestOutcome } from './placement-router.ts';

/** What is known of an answer only by reading it. */
export interface AnswerReport {
  /** Prompt tokens that the engine says it had in cache. */
  readonly cachedTokens?: number | undefined;
  /** Replaces the number of token ids that were seen. */
  readonly outputTokens?: number | undefined;
  /** The reader has all it wanted: cancelling the rest does not make the request a cancelled one. */
  readonly complete?: boolean | undefined;
}

/** What an {@link AnswerMeter} needs. */
export interface AnswerMeterOptions {
  readonly promptTokens: number;
  readonly blockSize: number;
  /** Monotonic time at which the instance was chosen. */
  readonly routedAtMs: number;
  /** Output has filled one more block. */
  readonly onBlock: () => void;
}

/** How an answer ended. */
export type AnswerEnd =
  | { readonly kind: 'completed' | 'cancelled' }
  | { readonly kind: 'failed'; readonly errorCode: string };

/** Tokens and times of one answer. */
export class AnswerMeter {
  readonly #options: AnswerMeterOptions;
  /** Tokens that the last, incomplete block still takes. */
  #room: number;
  #tokens = 0;
  #firstAtMs: number | undefined;
  #lastAtMs = 0;
  #report: AnswerReport = {};

  constructor(options: AnswerMeterOptions) {
    const { promptTokens, blockSize } = options;
    this.#options = options;
    this.#room = blockSize > 0 ? blockSize - (promptTokens % blockSize) : Infinity;
  }

  /** Takes what arrived together. */
  note(items: readonly Uint8Array[], nowMs: number): void {
    const before = this.#tokens;
    for (const item of items) this.#tokens += leadingTokens(item);
    this.#firstAtMs ??= nowMs;
    if (this.#tokens === before) return;
    this.#lastAtMs = nowMs;
    this.#room -= this.#tokens - before;
    while (this.#room <= 0) {
      this.#room += this.#options.blockSize;
      this.#options.onBlock();
    }
  }

  /** Adds what the reader found; later values replace earlier ones. */
  report(report: AnswerReport): void {
    this.#report = { ...this.#report, ...report };
  }

  /** What became of the request. */
  outcome(end: AnswerEnd): RequestOutcome {
    const { cachedTokens, outputTokens, complete } = this.#report;
    const isComplete = end.kind === 'cancelled' && complete === true;
    return {
      ...(isComplete ? { kind: 'completed' } : end),
      cachedTokens,
      outputTokens: outputTokens ?? (this.#tokens > 0 ? this.#tokens : undefined),
      ttftMs:
        this.#firstAtMs === undefined ? undefined : this.#firstAtMs - this.#options.routedAtMs,
      itlMs: this.#itlMs(),
    };
  }

  #itlMs(): number | undefined {
    if (this.#firstAtMs === undefined || this.#tokens < 2) return undefined;
    return (this.#lastAtMs - this.#firstAtMs) / (this.#tokens - 1);
  }
}

/** Tag of `token_ids_le`: field 1, length-delimited. */
const TOKEN_IDS_TAG = 0x0a;

/** Token ids of an encoded `GenerateResponse`; 0 when it does not begin with them. */
export function leadingTokens(item: Uint8Array): number {
  if (item[0] !== TOKEN_IDS_TAG) return 0;
  let bytes = 0;
  for (let at = 1, shift = 0; shift < 32; at++, shift += 7) {
    const byte = item[at] ?? 0;
    bytes |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return bytes >>> 2;
}
