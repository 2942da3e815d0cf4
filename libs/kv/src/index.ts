export { computeBlockHashForSeq } from './block-hash.ts';
export type { BlockHashOptions } from './block-hash.ts';
export type {
  AcceptedFrame,
  KvTier,
  LocalKvIndexerOptions,
  LocalKvIndexerStats,
} from './local-kv-indexer.ts';
export { LocalKvIndexer } from './local-kv-indexer.ts';
export { PlacementCore } from './placement-core.ts';
export type {
  BookingOutcome,
  CostSettings,
  DrainedDecisions,
  FeedResult,
  FreedBooking,
  IndexHealth,
  IndexTotals,
  NotSelected,
  PlacementCoreOptions,
  PresentLoads,
  PromptQuery,
  RankLoads,
  RankOverlaps,
  RankState,
  Recovery,
  RemoteBooking,
  SelectFailure,
  SelectMode,
  SelectOverrides,
  SelectRequest,
  Selected,
  WorkerEntry,
} from './placement-types.ts';
