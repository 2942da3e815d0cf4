import { describe, expect, it } from 'vitest';

import { DrainRate } from './drain-rate.ts';

describe('DrainRate', () => {
  it('says soon while nothing waits or nothing is known, however long the queue was empty', () => {
    const rate = new DrainRate();
    rate.began(3_600_000);
    expect(rate.retryAfterSeconds(0, 3_600_000)).toBe(1);
    expect(rate.retryAfterSeconds(100, 3_600_200)).toBe(5);
  });

  it('goes by how fast requests leave', () => {
    const rate = new DrainRate();
    rate.began(0);
    for (let nowMs = 100; nowMs <= 10_000; nowMs += 100) rate.placed(nowMs);
    expect(rate.retryAfterSeconds(95, 10_000)).toBe(10);
    expect(rate.retryAfterSeconds(3, 10_000)).toBe(1);
    expect(rate.retryAfterSeconds(100_000, 10_000)).toBe(60);
  });

  it('says late when nothing leaves for long', () => {
    const rate = new DrainRate();
    rate.began(0);
    expect(rate.retryAfterSeconds(1, 30_000)).toBe(60);
  });
});
