import { describe, expect, it } from 'vitest';

import { logBuckets } from './buckets.ts';

describe('logBuckets', () => {
  it('starts at 0, ends at the maximum and is spaced evenly on a logarithmic scale', () => {
    expect(logBuckets(1, 512, 10)).toEqual([0, 2, 4, 8, 16, 32, 64, 130, 260, 510]);
    expect(logBuckets(0.001, 480, 18).at(-1)).toBe(480);
    expect(logBuckets(0.001, 480, 18)).toHaveLength(18);
  });

  it('removes what rounding made equal', () => {
    const buckets = logBuckets(1, 2, 200);
    expect(new Set(buckets).size).toBe(buckets.length);
    expect(buckets.length).toBeLessThan(20);
    expect(buckets).toEqual([...buckets].sort((a, b) => a - b));
  });

  it('gives what few buckets can be', () => {
    expect(logBuckets(1, 10, 0)).toEqual([]);
    expect(logBuckets(1, 10, 1)).toEqual([0]);
    expect(logBuckets(1, 10, 2)).toEqual([0, 10]);
  });

  it.each([
    [0, 10, 5],
    [-1, 10, 5],
    [10, 10, 5],
    [1, Infinity, 5],
    [Number.NaN, 10, 5],
    [1, 10, 513],
    [1, 10, 2.5],
  ])('refuses min %d, max %d, count %d', (min, max, count) => {
    expect(() => logBuckets(min, max, count)).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
  });
});
