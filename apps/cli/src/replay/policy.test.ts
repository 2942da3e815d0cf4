import { describe, expect, it } from 'vitest';

import { parsePolicy } from './policy.ts';

describe('parsePolicy', () => {
  it.each([
    ['round-robin', 'round-robin', {}],
    ['kv', 'kv', {}],
    ['kv:displacement-weight=2:temperature=0.5', 'kv', { displacementWeight: 2, temperature: 0.5 }],
    ['kv:policy=lmetric', 'kv', { policy: 'lmetric' }],
  ])('reads %s', (text, mode, weights) => {
    expect(parsePolicy(text)).toEqual({ name: text, mode, weights });
  });

  it.each([
    ['fastest', 'none of kv, round-robin'],
    ['random:temperature=1', 'only kv has weights'],
    ['kv:overlap=1', 'none of policy, overlap-score-credit'],
    ['kv:temperature', 'must be a number'],
    ['kv:temperature=-1', 'must be a number from 0'],
    ['kv:policy=custom', 'none of policy'],
  ])('refuses %s and says why', (text, problem) => {
    expect(() => parsePolicy(text)).toThrow(problem);
  });
});
