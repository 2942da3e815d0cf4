export type { ApproxKvIndexerOptions } from './approx-kv-indexer.ts';
export { ApproxKvIndexer } from './approx-kv-indexer.ts';
export { computeBlockHashForSeq } from './block-hash.ts';
export type { BlockHashOptions } from './block-hash.ts';
export type { ApplyStatus, IndexStats } from './index-addon.ts';
export type { KvCacheEvent, KvCacheEventData, RouterEvent } from './kv-cache-event.ts';
export { parseRouterEvent } from './kv-cache-event.ts';
export type { KvIndexerOptions } from './kv-indexer.ts';
export { KvIndexer } from './kv-indexer.ts';
export type {
  AcceptedFrame,
  KvTier,
  LocalKvIndexerOptions,
  LocalKvIndexerStats,
} from './local-kv-indexer.ts';
export { LocalKvIndexer } from './local-kv-indexer.ts';
export type { RankOverlap } from './overlap-scores.ts';
export { OverlapScores } from './overlap-scores.ts';
export { PlacementCore } from './placement-core.ts';
export type { PlacementDefaults } from './placement-defaults.ts';
export { PLACEMENT_DEFAULTS } from './placement-defaults.ts';
export type {
  BookingOutcome,
  BusyAbove,
  CostSettings,
  DrainedDecisions,
  FeedResult,
  FreedBooking,
  IndexHealth,
  IndexTotals,
  NotSelected,
  Occupancy,
  PlacementCoreOptions,
  PlacementCost,
  PresentLoads,
  PromptQuery,
  RankConditions,
  RankLoads,
  RankOverlaps,
  RankState,
  Recovery,
  RefusalReason,
  RemoteBooking,
  SelectFailure,
  SelectMode,
  SelectOverrides,
  SelectRequest,
  Selected,
  WorkerEntry,
} from './placement-types.ts';
export type { RadixTreeOptions } from './radix-tree.ts';
export { RadixTree } from './radix-tree.ts';
export type { RescoreSettings, RescoredDecision } from './rescore-decision.ts';
export { rescoreDecision } from './rescore-decision.ts';
