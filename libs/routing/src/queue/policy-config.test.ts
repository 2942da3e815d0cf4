import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { parsePolicyConfig, profileFor, readPolicyConfig } from './policy-config.ts';

/** The example of RP 14.5. */
const EXAMPLE = `default_policy_family: standard
uncached_isl_buckets: [{min_tokens: 0, bucket: short}, {min_tokens: 4096, bucket: long}]
policy_classes:
  - {name: std-short, policy_family: standard, cache_bucket: short, queue_policy: fcfs, quantum: 2048, prefill_busy_threshold_frac: 1.0, request_queue_limit_per_worker: 1024}
  - {name: std-long, policy_family: standard, cache_bucket: long, queue_policy: wspt, quantum: 512, prefill_busy_threshold_frac: 1.0, request_queue_limit_per_worker: 512}
  - {name: bulk, queue_policy: lcfs, quantum: 256, busy_worker_ratio: 0.5}
`;

const parse = (text: string) => parsePolicyConfig(text, 'policy.yaml');

describe('a policy file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'policy-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('is read from disk, and one that is not there is named', () => {
    const file = join(folder, 'policy.yaml');
    writeFileSync(file, EXAMPLE);
    expect(readPolicyConfig(file).root?.classes).toHaveLength(3);
    const missing = join(folder, 'none.yaml');
    expect(() => readPolicyConfig(missing)).toThrow(
      `cannot read the policy file ${missing} (--router-policy-config)`,
    );
  });

  it('gives classes, families and buckets (RP 14.5)', () => {
    const profile = parse(EXAMPLE).root;
    expect(profile?.defaultFamily).toBe('standard');
    expect(profile?.buckets).toEqual([
      { minTokens: 0, name: 'short' },
      { minTokens: 4096, name: 'long' },
    ]);
    expect(profile?.classes[1]).toEqual({
      name: 'std-long',
      family: 'standard',
      bucket: 'long',
      queuePolicy: 'wspt',
      quantum: 512,
      prefillBusyThresholdFrac: 1,
      busyWorkerRatio: 1,
      requestLimitPerWorker: 512,
    });
    expect(profile?.classes[2]).toMatchObject({ name: 'bulk', busyWorkerRatio: 0.5 });
    expect(profile?.classes[2]?.family).toBeUndefined();
  });

  it('may replace the profile of certain models altogether', () => {
    const own = `models:
  org/small:
    default_policy_family: only
    uncached_isl_buckets: [{min_tokens: 0, bucket: all}]
    policy_classes: [{name: only, policy_family: only, cache_bucket: all}]
`;
    const both = parse(EXAMPLE + own);
    expect(profileFor(both, 'org/small')?.classes.map(({ name }) => name)).toEqual(['only']);
    expect(profileFor(both, 'other')?.defaultFamily).toBe('standard');
    expect(profileFor(parse(own), 'other')).toBeUndefined();
  });

  it.each([
    ['', 'policy.yaml:1: must be a mapping of names to values'],
    ['{}', 'says nothing; give default_policy_family'],
    ['default_policy_family: a', 'policy.yaml:1: lacks uncached_isl_buckets; add it'],
    ['a: [', 'policy.yaml:1: '],
    [
      EXAMPLE.replace('bulk, queue_policy', 'bulk, que_policy'),
      'policy.yaml:6: policy_classes[2].que_policy is unknown; use one of name, policy_family',
    ],
    [
      EXAMPLE.replace('quantum: 512', 'quantum: 0'),
      'policy.yaml:5: policy_classes[1].quantum is 0; use a whole number from 1',
    ],
    [
      EXAMPLE.replace('quantum: 512', 'quantum: many'),
      'policy_classes[1].quantum is "many"; use a whole number',
    ],
    [
      EXAMPLE.replace('busy_worker_ratio: 0.5', 'busy_worker_ratio: 1.5'),
      'policy_classes[2].busy_worker_ratio is 1.5; use a number above 0 up to 1',
    ],
    [
      EXAMPLE.replace('_frac: 1.0', '_frac: .inf'),
      'prefill_busy_threshold_frac is Infinity; use a number from 0',
    ],
    [
      EXAMPLE.replace('lcfs', 'lifo'),
      'policy_classes[2].queue_policy is "lifo"; use fcfs, wspt, lcfs',
    ],
    [
      EXAMPLE.replace('min_tokens: 0', 'min_tokens: 5'),
      'policy.yaml:2: uncached_isl_buckets[0].min_tokens is 5; the first bucket must begin at 0',
    ],
    [
      EXAMPLE.replace('min_tokens: 4096', 'min_tokens: 0'),
      'uncached_isl_buckets[1].min_tokens is 0; it must be above 0',
    ],
    [
      EXAMPLE.replace('bucket: long}]', 'bucket: short}]'),
      'uncached_isl_buckets[1].bucket is "short" again',
    ],
    [
      EXAMPLE.replace('family: standard\n', 'family: gold\n'),
      'policy.yaml:1: default_policy_family is "gold", which no class has as policy_family; use one of: standard',
    ],
    [
      EXAMPLE.replace('cache_bucket: long, ', ''),
      'policy_classes[1] has only one of policy_family and cache_bucket',
    ],
    [
      EXAMPLE.replace('cache_bucket: long', 'cache_bucket: huge'),
      'gives class "std-long" the cache_bucket "huge", which uncached_isl_buckets does not have; use one of: short, long',
    ],
    [
      EXAMPLE.replace('cache_bucket: long', 'cache_bucket: short'),
      'has 2 classes for policy_family "standard" and cache_bucket "short"; keep one of them',
    ],
    [
      EXAMPLE.replace('name: bulk', 'name: STD-short'),
      'policy_classes[2] is named "STD-short" like another class',
    ],
    [EXAMPLE.replace('name: bulk, ', ''), 'policy_classes[2] lacks name; add it'],
    [
      EXAMPLE.replace('quantum: 256', 'admission: {type: session_aware}'),
      'policy_classes[2].admission (session-aware admission) is not offered; remove it',
    ],
    [EXAMPLE.replace(/policy_classes:[^]*/, 'policy_classes: {}'), 'policy_classes must be a list'],
  ])('is refused with place and remedy (%#)', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});
