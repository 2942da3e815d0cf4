/** The addon's `NativeKvIndex` in this library's types: instance ids are branded, absent values may be undefined. */
import * as native from '@dynamo-ts/native';
import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';

import type { RouterEvent } from './kv-cache-event.ts';
import type { KvTier } from './local-kv-indexer.ts';
import { OverlapScores } from './overlap-scores.ts';

/** Settings of an index. */
export interface IndexAddonOptions {
  readonly approximate: boolean;
  readonly budgetBytes?: number | undefined;
  readonly ttlMs?: number | undefined;
  readonly maxTreeSize?: number | undefined;
  readonly pruneTargetRatio?: number | undefined;
}

/** A worker and its rank. */
export interface Rank {
  readonly workerId: InstanceId;
  readonly dpRank: number;
}

/** How an event was taken; `ok` or why not. */
export type ApplyStatus =
  'ok' | 'parent_block_not_found' | 'block_not_found' | 'invalid_block' | 'ignored';

/** Consecutive blocks of one rank in one tier. */
export interface StoredRun extends Rank {
  readonly tier: KvTier;
  /** The engine's hash of the block before the first one. */
  readonly parent?: bigint | null | undefined;
  readonly blockHashes: BigUint64Array;
  readonly tokensHashes: BigUint64Array;
}

/** Sizes of an index. */
export interface IndexStats {
  /** Distinct blocks. */
  readonly blocks: number;
  /** (block, rank, tier) holdings. */
  readonly entries: number;
  readonly ranks: number;
  readonly bytes: number;
  /** Holdings dropped to keep the budget. */
  readonly evicted: number;
}

/** What ranks hold of a prompt. */
interface Matches {
  readonly workerIds: BigUint64Array;
  readonly dpRanks: Uint32Array;
  /** Four tiers per rank. */
  readonly blocks: Uint32Array;
}

/** What the addon offers. */
export interface IndexAddon {
  stored(
    rank: Rank,
    tier: KvTier,
    parent: bigint | undefined,
    blockHashes: BigUint64Array,
    tokensHashes: BigUint64Array,
  ): ApplyStatus;
  removed(rank: Rank, tier: KvTier, blockHashes: BigUint64Array): ApplyStatus;
  cleared(rank: Rank): void;
  findMatches(localHashes: BigUint64Array, earlyExit: boolean): Matches;
  recordRouted(rank: Rank, localHashes: BigUint64Array, nowMs: number): void;
  expire(nowMs: number): number;
  removeWorker(workerId: InstanceId): void;
  dump(workerId?: InstanceId): StoredRun[];
  stats(): IndexStats;
  close(): void;
}

type Addon = new (options: IndexAddonOptions) => IndexAddon;

/** Makes one. */
export function createIndexAddon(options: IndexAddonOptions): IndexAddon {
  // The generated declarations know no branded ids and take undefined for absent without saying so.
  const { NativeKvIndex } = native as unknown as { readonly NativeKvIndex: Addon };
  return new NativeKvIndex(options);
}

/** Hands an event to an index. */
export function applyTo(index: IndexAddon, { workerId, event }: RouterEvent): ApplyStatus {
  const { dpRank = 0, tier = 'device', data } = event;
  const rank = { workerId, dpRank };
  switch (data.kind) {
    case 'stored':
      return index.stored(rank, tier, data.parentHash, data.blockHashes, data.tokensHashes);
    case 'removed':
      return index.removed(rank, tier, data.blockHashes);
    case 'cleared':
      index.cleared(rank);
      return 'ok';
  }
}

/** A lookup's result for people. */
export function scoresOf({ workerIds, dpRanks, blocks }: Matches): OverlapScores {
  return new OverlapScores(
    Array.from(workerIds, (id, index) => ({
      workerId: asInstanceId(id),
      dpRank: dpRanks[index] ?? 0,
      device: blocks[index * 4] ?? 0,
      host: blocks[index * 4 + 1] ?? 0,
      disk: blocks[index * 4 + 2] ?? 0,
      external: blocks[index * 4 + 3] ?? 0,
    })),
  );
}
