/** Collects recorded requests into the flat arrays of a {@link ReplayTrace}. */
import type { Decision } from '@dynamo-ts/protocol';
import { hashesFromBytes } from '@dynamo-ts/protocol';
import type { ReplayTrace } from '@dynamo-ts/sim';

interface Entry {
  readonly number: number;
  readonly arrivedAtMs: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly hashes: BigUint64Array;
}

/** Builds a trace. */
export class TraceBuilder {
  readonly #entries: Entry[] = [];
  readonly #unknownOutputTokens: number;

  /** Empty. @param unknownOutputTokens length of answers whose length is not recorded */
  constructor(unknownOutputTokens: number) {
    this.#unknownOutputTokens = unknownOutputTokens;
  }

  /** Requests so far. */
  get size(): number {
    return this.#entries.length;
  }

  /** Adds the request of a decision, in any order. @returns its number, and when it arrived */
  add(decision: Decision): { readonly number: number; readonly arrivedAtMs: number } {
    const { timestampMs, queuedMs, islTokens, outcome, expectedOutputTokens } = decision;
    const output = outcome?.outputTokens ?? expectedOutputTokens ?? 0;
    const number = this.#entries.length;
    const arrivedAtMs = timestampMs - queuedMs;
    this.#entries.push({
      number,
      arrivedAtMs,
      promptTokens: islTokens,
      outputTokens: output > 0 ? output : this.#unknownOutputTokens,
      hashes: hashesFromBytes(decision.blockHashesLe),
    });
    return { number, arrivedAtMs };
  }

  /** Positions in the trace by number. */
  positions(): Uint32Array {
    const positions = new Uint32Array(this.#entries.length);
    for (const [position, { number }] of this.#inOrder().entries()) positions[number] = position;
    return positions;
  }

  /** The trace, in order of arrival. */
  build(blockSize: number): ReplayTrace {
    const entries = this.#inOrder();
    const startMs = entries[0]?.arrivedAtMs ?? 0;
    const blocks = entries.reduce((sum, { hashes }) => sum + hashes.length, 0);
    const blockHashes = new BigUint64Array(blocks);
    let at = 0;
    for (const { hashes } of entries) {
      blockHashes.set(hashes, at);
      at += hashes.length;
    }
    return {
      blockSize,
      arrivalMs: Float64Array.from(entries, ({ arrivedAtMs }) => arrivedAtMs - startMs),
      promptTokens: Uint32Array.from(entries, ({ promptTokens }) => promptTokens),
      outputTokens: Uint32Array.from(entries, ({ outputTokens }) => outputTokens),
      blockCounts: Uint32Array.from(entries, ({ hashes }) => hashes.length),
      blockHashes,
    };
  }

  /** Of those that arrived at the same time, the one that was added first is the first. */
  #inOrder(): readonly Entry[] {
    return this.#entries.toSorted((one, other) => one.arrivedAtMs - other.arrivedAtMs);
  }
}
