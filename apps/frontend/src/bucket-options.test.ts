import { loadConfig } from '@dynamo-ts/config';
import { describe, expect, it } from 'vitest';

import { bucketsOf } from './bucket-options.ts';
import { FRONTEND_OPTIONS } from './config.ts';
import { FRONTEND_METRICS } from './metrics.ts';

const load = (env: Record<string, string>) =>
  loadConfig(FRONTEND_OPTIONS, { argv: [], env, command: 'test', summary: '' }).config;

describe('bucketsOf', () => {
  it('gives the bounds of the reference', () => {
    const buckets = bucketsOf(load({}));
    expect(buckets.requestDuration).toEqual([0, 2, 4, 8, 16, 32, 64, 130, 260, 510]);
    expect(buckets.ttft).toEqual(FRONTEND_METRICS.timeToFirstTokenSeconds.buckets);
    expect(buckets.ttft[0]).toBe(0);
    expect(buckets.ttft.at(-1)).toBe(480);
  });

  it('follows the environment', () => {
    const env = {
      DYN_METRICS_ITL_MIN: '1',
      DYN_METRICS_ITL_MAX: '100',
      DYN_METRICS_ITL_COUNT: '3',
    };
    expect(bucketsOf(load(env)).itl).toEqual([0, 10, 100]);
  });

  it('refuses bounds that make no scale', () => {
    expect(() => bucketsOf(load({ DYN_METRICS_TTFT_MIN: '900' }))).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
    expect(() => load({ DYN_METRICS_TTFT_COUNT: '513' })).toThrow(/DYN_METRICS_TTFT_COUNT/);
  });
});
