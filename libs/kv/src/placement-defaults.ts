import type { PlacementCoreOptions } from './placement-types.ts';

/** Settings of a `PlacementCore` that do not say who it is, or for whom. */
export type PlacementDefaults = Omit<
  PlacementCoreOptions,
  'blockSize' | 'endpoint' | 'routerId' | 'seed' | 'indexBudgetBytes' | 'predictedTtlMs'
>;

/** What a router's core is made with unless told otherwise (RP 4.12): no index budget, no prediction before events. */
export const PLACEMENT_DEFAULTS: PlacementDefaults = {
  cost: {
    policy: 'linear',
    overlapScoreCredit: 1,
    overlapScoreCreditDecay: 0,
    prefillLoadScale: 1,
    hostCacheHitWeight: 0.75,
    diskCacheHitWeight: 0.25,
    sharedCacheMultiplier: 0,
    decodeActiveRequestWeight: undefined,
    displacementWeight: 4,
    temperature: 0,
    trackPrefillTokens: true,
  },
  useKvEvents: true,
  ttlMs: 120_000,
  maxTreeSize: 1_048_576,
  pruneTargetRatio: 0.8,
  trackActiveBlocks: true,
  trackOutputBlocks: false,
  assumeKvReuse: true,
  activeSequenceStride: 1,
  bookingExpiryMs: 3_600_000,
  decisionRingBytes: 16 * 1024 * 1024,
};
