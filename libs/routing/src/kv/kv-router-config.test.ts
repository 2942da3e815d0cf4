import { describe, expect, it } from 'vitest';

import { kvRouterSettings } from './kv-router-config.ts';
import { KV_ROUTER_DEFAULTS } from './kv-router-settings.ts';
import { TEST_ROUTER_CONFIG } from './testing-config.ts';

describe('kvRouterSettings', () => {
  it('of the default options are the defaults of the router', () => {
    expect(kvRouterSettings(TEST_ROUTER_CONFIG)).toEqual(KV_ROUTER_DEFAULTS);
  });

  it('counts memory in bytes', () => {
    const settings = kvRouterSettings({
      ...TEST_ROUTER_CONFIG,
      routerIndexBudgetMb: 1.5,
      routerDecisionMemoryMb: 0,
    });
    expect(settings).toMatchObject({ indexBudgetBytes: 1_572_864, decisionRingBytes: 0 });
  });

  it('takes the deprecated weight for the prefill scale, and 0 for no credit either', () => {
    const costOf = (weight: number) =>
      kvRouterSettings({ ...TEST_ROUTER_CONFIG, routerKvOverlapScoreWeight: weight }).cost;
    expect(costOf(2)).toMatchObject({ prefillLoadScale: 2, overlapScoreCredit: 1 });
    expect(costOf(0)).toMatchObject({ prefillLoadScale: 0, overlapScoreCredit: 0 });
  });

  it('routes by load alone when told so, whatever else is set', () => {
    const settings = kvRouterSettings({
      ...TEST_ROUTER_CONFIG,
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
