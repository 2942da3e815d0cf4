import { describe, expect, it, vi } from 'vitest';

import { ClassResolver } from './class-resolver.ts';
import { defaultProfile } from './policy-profile.ts';
import type { PolicyClass, PolicyProfile } from './policy-profile.ts';

const queueClass = (name: string, fields: Partial<PolicyClass>): PolicyClass => ({
  name,
  queuePolicy: 'fcfs',
  quantum: 100,
  busyWorkerRatio: 1,
  ...fields,
});

/** The example of RP 14.5. */
const profile: PolicyProfile = {
  defaultFamily: 'standard',
  buckets: [
    { minTokens: 0, name: 'short' },
    { minTokens: 4096, name: 'long' },
  ],
  classes: [
    queueClass('std-short', { family: 'standard', bucket: 'short' }),
    queueClass('std-long', { family: 'standard', bucket: 'long' }),
    queueClass('bulk', {}),
  ],
};

describe('ClassResolver', () => {
  const resolver = new ClassResolver(profile);
  const resolve = (name: string | undefined, uncached: number) => {
    const { policyClass, isKnown } = resolver.resolve(name, () => uncached);
    return [policyClass.name, isKnown];
  };

  it('goes by uncached tokens inside the default family', () => {
    expect(resolve(undefined, 6000 - 2500)).toEqual(['std-short', true]);
    expect(resolve('', 4096)).toEqual(['std-long', true]);
    expect(resolve(undefined, -3)).toEqual(['std-short', true]);
  });

  it('takes an explicit class and a family by name, without case', () => {
    expect(resolve(' Bulk ', 9999)).toEqual(['bulk', true]);
    expect(resolve('STANDARD', 9999)).toEqual(['std-long', true]);
  });

  it('does not let a class of a family be named, nor anything unknown: the default family it is', () => {
    expect(resolve('std-long', 5)).toEqual(['std-short', false]);
    expect(resolve('gold', 5)).toEqual(['std-short', false]);
  });

  it('does not look into the caches when there is one bucket', () => {
    const uncached = vi.fn(() => 5);
    const single = new ClassResolver(defaultProfile());
    expect(single.resolve(undefined, uncached).policyClass.name).toBe('default');
    expect(uncached).not.toHaveBeenCalled();
  });
});
