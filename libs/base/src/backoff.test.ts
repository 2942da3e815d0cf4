import { describe, expect, it } from 'vitest';

import { Backoff } from './backoff.ts';

describe('Backoff', () => {
  it('doubles up to its limit and starts again after a reset', () => {
    const backoff = new Backoff({ initialMs: 100, maxMs: 500, random: () => 0 });
    expect([1, 2, 3, 4].map(() => backoff.nextMs())).toEqual([100, 200, 400, 500]);
    expect(backoff.attempt).toBe(4);
    backoff.reset();
    expect(backoff.nextMs()).toBe(100);
  });

  it('shortens by the jitter, so that clients do not return together', () => {
    const backoff = new Backoff({ initialMs: 100, jitterRatio: 0.5, random: () => 1 });
    expect(backoff.nextMs()).toBe(50);
  });
});
