import type { InstanceId } from '@dynamo-ts/base';

import { computeBlockHashForSeq } from './block-hash.ts';
import type { BlockHashOptions } from './block-hash.ts';
import type { ApplyStatus } from './index-addon.ts';
import type { KvCacheEvent, RouterEvent } from './kv-cache-event.ts';
import type { OverlapScores } from './overlap-scores.ts';
import { RadixTree } from './radix-tree.ts';

/** Settings of a {@link KvIndexer}. */
export interface KvIndexerOptions {
  /** Tokens per block; the workers' own. */
  readonly blockSize: number;
  /** Memory that it may take; the coldest blocks go beyond it. @default no limit */
  readonly budgetBytes?: number | undefined;
}

/** Which worker holds which prompts, learnt from events that its owner hands in. Works on tokens. */
export class KvIndexer implements AsyncDisposable {
  readonly blockSize: number;
  readonly #tree: RadixTree;

  constructor({ blockSize, budgetBytes }: KvIndexerOptions) {
    this.blockSize = blockSize;
    this.#tree = new RadixTree({ budgetBytes });
  }

  /** Who holds the start of a prompt. */
  findMatches(tokenIds: Uint32Array, options: BlockHashOptions = {}): OverlapScores {
    return this.#tree.findMatches(computeBlockHashForSeq(tokenIds, this.blockSize, options));
  }

  /** Takes one event. @returns `ok`, or why it was not taken whole */
  applyEvent({ workerId, event }: RouterEvent): ApplyStatus {
    return this.#tree.applyEvent(workerId, event);
  }

  /** Alias of {@link applyEvent}. */
  update(event: RouterEvent): ApplyStatus {
    return this.applyEvent(event);
  }

  /** A worker has given up blocks, by the engine's hashes. */
  remove(
    workerId: InstanceId,
    blockHashes: BigUint64Array,
    place: Pick<KvCacheEvent, 'dpRank' | 'tier'> = {},
  ): ApplyStatus {
    const data = { kind: 'removed', blockHashes } as const;
    return this.#tree.applyEvent(workerId, { ...place, eventId: 0n, data });
  }

  /** Forgets a worker. */
  removeWorker(workerId: InstanceId): void {
    this.#tree.removeWorker(workerId);
  }

  /** Events that build the index again, parents first. */
  dumpEvents(): readonly RouterEvent[] {
    return this.#tree.dumpTreeAsEvents();
  }

  /** Gives the memory back. Idempotent. */
  close(): Promise<void> {
    return this.#tree.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
