import { describe, expect, it } from 'vitest';

import { compareKeys, queueScore } from './queue-key.ts';

const score = queueScore;

describe('the order of waiting requests', () => {
  it('is by arrival under FCFS, moved forward by the jump (RP 14.5)', () => {
    const first = score('fcfs', { arrivalSeconds: 1, priorityJump: 0, uncachedTokens: 1 });
    const second = score('fcfs', { arrivalSeconds: 3, priorityJump: 5, uncachedTokens: 1 });
    expect([first, second]).toEqual([-1, 2]);
  });

  it('is by latest arrival under LCFS', () => {
    const early = score('lcfs', { arrivalSeconds: 1, priorityJump: 0.5, uncachedTokens: 1 });
    const late = score('lcfs', { arrivalSeconds: 3, priorityJump: 0, uncachedTokens: 1 });
    expect([early, late]).toEqual([1.5, 3]);
  });

  it('is by cheapest prompt under WSPT, weighed by the jump (RP 14.5)', () => {
    const small = score('wspt', { arrivalSeconds: 9, priorityJump: 0, uncachedTokens: 100 });
    const large = score('wspt', { arrivalSeconds: 1, priorityJump: 99, uncachedTokens: 10_000 });
    expect([small, large]).toEqual([0.01, 0.01]);
    expect(score('wspt', { arrivalSeconds: 0, priorityJump: 0, uncachedTokens: 0 })).toBe(1);
  });

  it('does not move anything back for a negative jump', () => {
    for (const policy of ['fcfs', 'lcfs', 'wspt'] as const) {
      const input = { arrivalSeconds: 2, uncachedTokens: 10 };
      const negative = score(policy, { ...input, priorityJump: -7 });
      expect(negative).toBe(score(policy, { ...input, priorityJump: 0 }));
    }
  });

  it('puts strict priority above any score, and arrival last', () => {
    const keys = [
      { strictPriority: 0, score: 1e9, sequence: 0 },
      { strictPriority: 1, score: -5, sequence: 3 },
      { strictPriority: 1, score: -5, sequence: 2 },
    ];
    expect(keys.sort(compareKeys).map(({ sequence }) => sequence)).toEqual([2, 3, 0]);
  });
});
