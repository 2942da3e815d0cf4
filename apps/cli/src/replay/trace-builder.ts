/** Collects recorded requests into the flat arrays of a {@link ReplayTrace}. */
import type { Decision } from '@dynamo-ts/protocol';
import { hashesFromBytes } from '@dynamo-ts/protocol';
import type { ReplayTrace } from '@dynamo-ts/sim';

interface Entry {
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

  /** Adds the request of a decision, in any order. */
  add(decision: Decision): void {
    const { timestampMs, queuedMs, islTokens, outcome, expectedOutputTokens } = decision;
    const output = outcome?.outputTokens ?? expectedOutputTokens ?? 0;
    this.#entries.push({
      arrivedAtMs: timestampMs - queuedMs,
      promptTokens: islTokens,
      outputTokens: output > 0 ? output : this.#unknownOutputTokens,
      hashes: hashesFromBytes(decision.blockHashesLe),
    });
  }

  /** The trace, in order of arrival. */
  build(blockSize: number): ReplayTrace {
    const entries = this.#entries.toSorted((one, other) => one.arrivedAtMs - other.arrivedAtMs);
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
}
