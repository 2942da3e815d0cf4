import { describe, expect, it } from 'vitest';

import { kvRouterSettings } from './kv-router-config.ts';
import type { KvRouterConfig } from './kv-router-config.ts';
import { KV_ROUTER_DEFAULTS } from './kv-router-settings.ts';

/** Every option at its default. */
const CONFIG: KvRouterConfig = {
  routerMode: 'kv',
  routerKvOverlapScoreCredit: 1,
  routerKvOverlapScoreCreditDecay: 0,
  routerPrefillLoadScale: 1,
  routerHostCacheHitWeight: 0.75,
  routerDiskCacheHitWeight: 0.25,
  routerDisplacementWeight: 4,
  routerDecodeActiveRequestWeight: undefined,
  routerKvOverlapScoreWeight: undefined,
  routerSelectionPolicy: 'default',
  routerTemperature: 0,
  routerLoadAware: false,
  routerKvEvents: true,
  routerTtlMs: 120_000,
  routerPredictedTtlMs: undefined,
  routerMaxTreeSize: 1_048_576,
  routerPruneTargetRatio: 0.8,
  routerIndexBudgetMb: undefined,
  routerMinInitialWorkers: 0,
  routerTrackActiveBlocks: true,
  routerTrackOutputBlocks: false,
  routerTrackPrefillTokens: true,
  routerAssumeKvReuse: true,
  routerActiveSequenceStride: 1,
  routerReplicaSync: true,
  bookingExpiryMs: 3_600_000,
  activeDecodeBlocksThreshold: undefined,
  activePrefillTokensThreshold: undefined,
  activePrefillTokensThresholdFrac: undefined,
  routerQueueThreshold: undefined,
  routerQueuePolicy: 'fcfs',
  routerPolicyConfig: undefined,
  routerQueueTimeoutMs: 60_000,
  routerOverlapRefreshAfterMs: 10_000,
  routerSessionAffinityTtlMs: undefined,
  routerSessionAffinityMode: 'hard',
  routerDecisionMemoryMb: 16,
  routerDecisionLog: undefined,
  routerDecisionLogMaxMb: 64,
};

describe('kvRouterSettings', () => {
  it('of the default options are the defaults of the router', () => {
    expect(kvRouterSettings(CONFIG)).toEqual(KV_ROUTER_DEFAULTS);
  });

  it('counts memory in bytes', () => {
    const settings = kvRouterSettings({
      ...CONFIG,
      routerIndexBudgetMb: 1.5,
      routerDecisionMemoryMb: 0,
    });
    expect(settings).toMatchObject({ indexBudgetBytes: 1_572_864, decisionRingBytes: 0 });
  });

  it('takes the deprecated weight for the prefill scale, and 0 for no credit either', () => {
    const costOf = (weight: number) =>
      kvRouterSettings({ ...CONFIG, routerKvOverlapScoreWeight: weight }).cost;
    expect(costOf(2)).toMatchObject({ prefillLoadScale: 2, overlapScoreCredit: 1 });
    expect(costOf(0)).toMatchObject({ prefillLoadScale: 0, overlapScoreCredit: 0 });
  });

  it('routes by load alone when told so, whatever else is set', () => {
    const settings = kvRouterSettings({
      ...CONFIG,
      routerLoadAware: true,
      routerTrackActiveBlocks: false,
      routerTrackPrefillTokens: false,
    });
    expect(settings).toMatchObject({
      useKvEvents: false,
      assumeKvReuse: false,
      trackActiveBlocks: true,
      cost: { overlapScoreCredit: 0, trackPrefillTokens: true },
    });
  });
});
