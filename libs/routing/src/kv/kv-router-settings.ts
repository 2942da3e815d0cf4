import { PLACEMENT_DEFAULTS } from '@dynamo-ts/kv';
import type { PlacementCost } from '@dynamo-ts/kv';

/** Settings of a `KvRouter` (RP 4.12); what the queue, affinity and busy thresholds need is theirs. */
export interface KvRouterSettings {
  /** Weights of the cost. */
  readonly cost: PlacementCost;
  /** Off: workers are scored by what was routed to them, even those that publish events. */
  readonly useKvEvents: boolean;
  /** How long a routed prompt counts as cached on workers without events. */
  readonly ttlMs: number;
  /** Blocks over which the approximate index is pruned. */
  readonly maxTreeSize: number;
  /** Share of `maxTreeSize` that pruning leaves. */
  readonly pruneTargetRatio: number;
  /** How long a routed prompt counts as cached before its event comes; undefined is not at all. */
  readonly predictedTtlMs: number | undefined;
  /** Counts the blocks that running requests hold. */
  readonly trackActiveBlocks: boolean;
  /** Counts blocks as answers grow, too. */
  readonly trackOutputBlocks: boolean;
  /** Blocks that two requests share on a worker count once. */
  readonly assumeKvReuse: boolean;
  /** Keeps every nth block hash of running requests. */
  readonly activeSequenceStride: number;
  /** Age at which a forgotten booking goes; longer than the longest request. */
  readonly bookingExpiryMs: number;
  /** Memory that the index may take; undefined is no limit. */
  readonly indexBudgetBytes: number | undefined;
  /** Memory for recent decisions; 0 records none. */
  readonly decisionRingBytes: number;
  /** Workers that must be there, and restored, before the router is ready. */
  readonly minInitialWorkers: number;
}

/** Defaults of {@link KvRouterSettings}. */
export const KV_ROUTER_DEFAULTS: KvRouterSettings = {
  ...PLACEMENT_DEFAULTS,
  predictedTtlMs: undefined,
  indexBudgetBytes: undefined,
  minInitialWorkers: 0,
};
