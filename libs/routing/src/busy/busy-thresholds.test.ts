import { describe, expect, it } from 'vitest';

import { BusyThresholds } from './busy-thresholds.ts';
import { exceeds } from './rank-pressure.ts';

describe('BusyThresholds', () => {
  it('gives every model the defaults until it has its own', () => {
    const thresholds = new BusyThresholds({ defaults: { activeDecodeBlocksThreshold: 0.8 } });
    expect(thresholds.all()).toEqual([]);
    thresholds.set('m', { activePrefillTokensThreshold: 5000 });
    expect(thresholds.get('m')).toEqual({
      activeDecodeBlocksThreshold: 0.8,
      activePrefillTokensThreshold: 5000,
    });
    expect(thresholds.get('other')).toEqual({ activeDecodeBlocksThreshold: 0.8 });
    expect(thresholds.all().map(({ model }) => model)).toEqual(['m']);
  });

  it('changes what is named, and takes away what is null', () => {
    const thresholds = new BusyThresholds();
    thresholds.set('m', {
      activeDecodeBlocksThreshold: 0.5,
      activePrefillTokensThresholdFrac: 2,
    });
    expect(thresholds.set('m', { activeDecodeBlocksThreshold: null })).toEqual({
      activePrefillTokensThresholdFrac: 2,
    });
    expect(thresholds.version).toBe(2);
  });

  it.each([
    [{ activeDecodeBlocksThreshold: 1.1 }, 'active_decode_blocks_threshold is 1.1'],
    [{ activeDecodeBlocksThreshold: NaN }, 'active_decode_blocks_threshold is NaN'],
    [{ activePrefillTokensThreshold: 1.5 }, 'active_prefill_tokens_threshold is 1.5'],
    [{ activePrefillTokensThreshold: -1 }, 'active_prefill_tokens_threshold is -1'],
    [{ activePrefillTokensThresholdFrac: Infinity }, 'threshold_frac is Infinity'],
  ])('refuses what is out of range and keeps what there was (%#)', (patch, message) => {
    const thresholds = new BusyThresholds();
    thresholds.set('m', { activePrefillTokensThreshold: 7 });
    expect(() => thresholds.set('m', patch)).toThrow(message);
    expect(thresholds.get('m')).toEqual({ activePrefillTokensThreshold: 7 });
    expect(() => new BusyThresholds({ defaults: patch })).toThrow(message);
  });
});

describe('a rank', () => {
  const limits = { totalKvBlocks: 100, maxBatchedTokens: 1000 };
  const isBusy = (decodeBlocks: number, prefillTokens: number, unknown = {}): boolean =>
    exceeds(
      { decodeBlocks, prefillTokens },
      { ...limits, ...unknown },
      {
        activeDecodeBlocksThreshold: 0.8,
        activePrefillTokensThreshold: 5000,
        activePrefillTokensThresholdFrac: 2,
      },
    );

  it('is busy when any threshold is exceeded, and not when one is just reached', () => {
    expect([isBusy(80, 2000), isBusy(81, 0), isBusy(0, 2001)]).toEqual([false, true, true]);
  });

  it('is not full when its size is unknown, and computes very much at once when it does not say', () => {
    expect(isBusy(1e9, 0, { totalKvBlocks: 0 })).toBe(false);
    expect([isBusy(0, 5000, { maxBatchedTokens: 0 }), isBusy(0, 5001)]).toEqual([false, true]);
  });

  it('is never busy without thresholds', () => {
    expect(exceeds({ decodeBlocks: 1e9, prefillTokens: 1e12 }, limits, {})).toBe(false);
  });
});
