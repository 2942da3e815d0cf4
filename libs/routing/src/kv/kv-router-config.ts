import type { QueuePolicy } from '../queue/policy-profile.ts';
import type { RouterMode } from '../router-mode.ts';
import type { KvRouterSettings } from './kv-router-settings.ts';
import { KV_ROUTER_DEFAULTS } from './kv-router-settings.ts';

/** The configuration of a router, by the names that `KV_ROUTER_OPTIONS` of libs/config gives it. */
export interface KvRouterConfig {
  readonly routerMode: RouterMode;
  readonly routerKvOverlapScoreCredit: number;
  readonly routerKvOverlapScoreCreditDecay: number;
  readonly routerPrefillLoadScale: number;
  readonly routerHostCacheHitWeight: number;
  readonly routerDiskCacheHitWeight: number;
  readonly routerDisplacementWeight: number;
  readonly routerDecodeActiveRequestWeight: number | undefined;
  readonly routerKvOverlapScoreWeight: number | undefined;
  readonly routerSelectionPolicy: 'default' | 'lmetric';
  readonly routerTemperature: number;
  readonly routerLoadAware: boolean;
  readonly routerKvEvents: boolean;
  readonly routerTtlMs: number;
  readonly routerPredictedTtlMs: number | undefined;
  readonly routerMaxTreeSize: number;
  readonly routerPruneTargetRatio: number;
  readonly routerIndexBudgetMb: number | undefined;
  readonly routerMinInitialWorkers: number;
  readonly routerTrackActiveBlocks: boolean;
  readonly routerTrackOutputBlocks: boolean;
  readonly routerTrackPrefillTokens: boolean;
  readonly routerAssumeKvReuse: boolean;
  readonly routerActiveSequenceStride: number;
  readonly routerReplicaSync: boolean;
  readonly bookingExpiryMs: number;
  readonly activeDecodeBlocksThreshold: number | undefined;
  readonly activePrefillTokensThreshold: number | undefined;
  readonly activePrefillTokensThresholdFrac: number | undefined;
  readonly routerQueueThreshold: number | undefined;
  readonly routerQueuePolicy: QueuePolicy;
  readonly routerPolicyConfig: string | undefined;
  readonly routerQueueTimeoutMs: number;
  readonly routerOverlapRefreshAfterMs: number;
  readonly routerSessionAffinityTtlMs: number | undefined;
  readonly routerSessionAffinityMode: 'hard' | 'soft';
  readonly routerDecisionMemoryMb: number;
  readonly routerDecisionLog: string | undefined;
  readonly routerDecisionLogMaxMb: number;
}

const MIB = 1024 * 1024;

/** What the configuration says about the core of a router. */
export function kvRouterSettings(config: KvRouterConfig): KvRouterSettings {
  const settings: KvRouterSettings = {
    cost: costOf(config),
    useKvEvents: config.routerKvEvents,
    ttlMs: config.routerTtlMs,
    maxTreeSize: config.routerMaxTreeSize,
    pruneTargetRatio: config.routerPruneTargetRatio,
    predictedTtlMs: config.routerPredictedTtlMs,
    trackActiveBlocks: config.routerTrackActiveBlocks,
    trackOutputBlocks: config.routerTrackOutputBlocks,
    assumeKvReuse: config.routerAssumeKvReuse,
    activeSequenceStride: config.routerActiveSequenceStride,
    bookingExpiryMs: config.bookingExpiryMs,
    indexBudgetBytes: bytes(config.routerIndexBudgetMb),
    decisionRingBytes: bytes(config.routerDecisionMemoryMb),
    minInitialWorkers: config.routerMinInitialWorkers,
  };
  return config.routerLoadAware ? byLoadAlone(settings) : settings;
}

function costOf(config: KvRouterConfig): KvRouterSettings['cost'] {
  const weight = config.routerKvOverlapScoreWeight;
  return {
    ...KV_ROUTER_DEFAULTS.cost,
    policy: config.routerSelectionPolicy === 'lmetric' ? 'lmetric' : 'linear',
    // The deprecated weight scales the prompt's work, and 0 meant to look at load alone.
    overlapScoreCredit: weight === 0 ? 0 : config.routerKvOverlapScoreCredit,
    overlapScoreCreditDecay: config.routerKvOverlapScoreCreditDecay,
    prefillLoadScale: weight ?? config.routerPrefillLoadScale,
    hostCacheHitWeight: config.routerHostCacheHitWeight,
    diskCacheHitWeight: config.routerDiskCacheHitWeight,
    displacementWeight: config.routerDisplacementWeight,
    decodeActiveRequestWeight: config.routerDecodeActiveRequestWeight,
    temperature: config.routerTemperature,
    trackPrefillTokens: config.routerTrackPrefillTokens,
  };
}

function byLoadAlone(settings: KvRouterSettings): KvRouterSettings {
  return {
    ...settings,
    cost: { ...settings.cost, overlapScoreCredit: 0, trackPrefillTokens: true },
    useKvEvents: false,
    assumeKvReuse: false,
    trackActiveBlocks: true,
  };
}

function bytes(mib: number): number;
function bytes(mib: number | undefined): number | undefined;
function bytes(mib: number | undefined): number | undefined {
  return mib === undefined ? undefined : Math.floor(mib * MIB);
}
