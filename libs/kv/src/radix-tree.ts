import type { InstanceId } from '@dynamo-ts/base';

import { applyTo, createIndexAddon, scoresOf } from './index-addon.ts';
import type { ApplyStatus, IndexAddon, IndexStats } from './index-addon.ts';
import type { KvCacheEvent, RouterEvent } from './kv-cache-event.ts';
import { nativeCall } from './native-call.ts';
import type { OverlapScores } from './overlap-scores.ts';

/** Settings of a {@link RadixTree}. */
export interface RadixTreeOptions {
  /** Memory that it may take; the coldest blocks go beyond it. @default no limit */
  readonly budgetBytes?: number | undefined;
}

/** Which worker holds which blocks, learnt from events; for programs that route themselves. Works on block hashes. */
export class RadixTree implements AsyncDisposable {
  readonly #native: IndexAddon;

  constructor(options: RadixTreeOptions = {}) {
    const { budgetBytes } = options;
    this.#native = nativeCall(() => createIndexAddon({ approximate: false, budgetBytes }));
  }

  /**
   * Who holds the start of a prompt, given the local hashes of its blocks. With `earlyExit` the search ends when one rank
   * is left, whose count is then a lower bound.
   */
  findMatches(localHashes: BigUint64Array, options: { earlyExit?: boolean } = {}): OverlapScores {
    const { earlyExit = false } = options;
    return scoresOf(nativeCall(() => this.#native.findMatches(localHashes, earlyExit)));
  }

  /** Takes one event. @returns `ok`, or why it was not taken whole */
  applyEvent(workerId: InstanceId, event: KvCacheEvent): ApplyStatus {
    return nativeCall(() => applyTo(this.#native, { workerId, event }));
  }

  /** Forgets a worker. */
  removeWorker(workerId: InstanceId): void {
    nativeCall(() => this.#native.removeWorker(workerId));
  }

  /** A worker holds nothing any more. */
  clearAllBlocks(workerId: InstanceId): void {
    this.removeWorker(workerId);
  }

  /** Events that build the tree again, parents first; ids count from 1 per call. */
  dumpTreeAsEvents(): readonly RouterEvent[] {
    const runs = nativeCall(() => this.#native.dump());
    return runs.map(({ workerId, dpRank, tier, parent, blockHashes, tokensHashes }, index) => ({
      workerId,
      event: {
        eventId: BigInt(index + 1),
        dpRank,
        tier,
        data: { kind: 'stored', parentHash: parent ?? undefined, blockHashes, tokensHashes },
      },
    }));
  }

  /** Sizes. */
  stats(): IndexStats {
    return nativeCall(() => this.#native.stats());
  }

  /** Gives the memory back. Idempotent. */
  close(): Promise<void> {
    this.#native.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
