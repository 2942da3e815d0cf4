/**
 * Walks the entries of one native batch without making an object per entry: the reader itself is the output that
 * receivers see.
 */
import { FinishReason } from '@dynamo-ts/protocol';

import type { MockOutput, MockRejection } from './mock-request.ts';

/** Words of one entry: id, token count, `finish | rejection << 8 | rank << 16`, cached tokens. */
const RECORD_WORDS = 4;

/** Rejections by their number in Rust; 0 is none. */
const REJECTIONS: readonly (MockRejection | undefined)[] = [
  undefined,
  'empty-prompt',
  'prompt-too-long',
  'prompt-exceeds-pass',
  'unknown-rank',
  'duplicate-id',
];

const NO_WORDS = new Uint32Array();

/** The finish reasons have the same numbers in Rust. */
const FINISHES: readonly FinishReason[] = [
  FinishReason.FINISH_REASON_UNSPECIFIED,
  FinishReason.FINISH_REASON_EOS,
  FinishReason.FINISH_REASON_LENGTH,
  FinishReason.FINISH_REASON_STOP,
  FinishReason.FINISH_REASON_ERROR,
  FinishReason.FINISH_REASON_CANCELLED,
];

/** Reads one batch after the other. */
export class BatchReader implements MockOutput {
  tokenIds: Uint32Array = NO_WORDS;
  id = 0;
  start = 0;
  end = 0;
  finish: FinishReason = FinishReason.FINISH_REASON_UNSPECIFIED;
  rejection: MockRejection | undefined;
  dpRank = 0;
  cachedTokens = 0;
  #records: Uint32Array = NO_WORDS;
  #position = 0;

  /** Begins a batch. */
  reset(records: Uint32Array, tokenIds: Uint32Array): void {
    this.#records = records;
    this.tokenIds = tokenIds;
    this.#position = 0;
    this.end = 0;
  }

  /** Moves to the next entry. @returns false at the end */
  next(): boolean {
    const at = this.#position;
    const records = this.#records;
    if (at >= records.length) return false;
    const state = records[at + 2] ?? 0;
    this.id = records[at] ?? 0;
    this.start = this.end;
    this.end += records[at + 1] ?? 0;
    this.finish = FINISHES[state & 0xff] ?? FinishReason.FINISH_REASON_ERROR;
    this.rejection = REJECTIONS[(state >>> 8) & 0xff];
    this.dpRank = state >>> 16;
    this.cachedTokens = records[at + 3] ?? 0;
    this.#position = at + RECORD_WORDS;
    return true;
  }

  /** The output of a request that ends because its engine does. */
  ended(finish: FinishReason): MockOutput {
    this.reset(NO_WORDS, NO_WORDS);
    this.start = 0;
    this.finish = finish;
    this.rejection = finish === FinishReason.FINISH_REASON_ERROR ? 'engine-failed' : undefined;
    return this;
  }
}
