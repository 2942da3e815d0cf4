import { describe, expect, it } from 'vitest';

import { KV_ROUTER_OPTIONS } from './kv-router-options.ts';
import { loadConfig } from './load-config.ts';

const load = (argv: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  loadConfig(KV_ROUTER_OPTIONS, { argv, env, command: 'test', summary: '' }).config;

describe('KV_ROUTER_OPTIONS', () => {
  it('has the defaults of the reference', () => {
    expect(load([])).toMatchObject({
      routerKvOverlapScoreCredit: 1,
      routerTemperature: 0,
      routerKvEvents: true,
      routerTtlMs: 120_000,
      routerMaxTreeSize: 1_048_576,
      routerAssumeKvReuse: true,
      routerQueueThreshold: undefined,
      routerQueuePolicy: 'fcfs',
      routerSessionAffinityTtlMs: undefined,
    });
  });

  it('reads flags and environment', () => {
    expect(load(['--no-router-kv-events', '--router-ttl-secs', '5'])).toMatchObject({
      routerKvEvents: false,
      routerTtlMs: 5000,
    });
    expect(load([], { DYN_OVERLAP_SCORE_WEIGHT: '2' }).routerKvOverlapScoreWeight).toBe(2);
  });

  it.each([
    [['--router-prefill-load-model', 'aic'], 'AIConfigurator'],
    [['--router-conditional-disagg'], 'disaggregated prefill is not supported'],
    [['--serve-indexer'], 'the router service serves its index'],
    [['--router-durable-kv-events'], 'JetStream'],
    [['--router-selection-policy=custom'], 'examples/custom-router'],
    [['--router-temperature=-1'], '--router-temperature'],
    [['--router-event-threads', '8'], 'applied by one thread'],
    [['--aic-tp-size', '2'], 'AIConfigurator'],
    [['--shared-cache-multiplier', '0.5'], 'shared caches are not supported'],
    [['--router-snapshot-threshold', '10000'], 'JetStream'],
    [['--router-reset-states'], 'JetStream'],
    [['--router-conditional-disagg-policy', 'x'], 'disaggregated prefill is not supported'],
    [['--decode-fallback'], 'disaggregated prefill is not supported'],
  ])('refuses %j and says why', (argv, message) => {
    expect(() => load(argv)).toThrow(message);
  });

  it.each(['DYN_AIC_BACKEND', 'DYN_ROUTER_SNAPSHOT_THRESHOLD', 'DYN_ENFORCE_DISAGG'])(
    'refuses %s',
    (name) => {
      expect(() => load([], { [name]: '1' })).toThrow(name);
    },
  );

  it('takes what is not built when it is off', () => {
    expect(load([], { DYN_SERVE_INDEXER: 'false' }).serveIndexer).toBe(false);
    expect(load(['--router-event-threads=1']).routerEventThreads).toBe(1);
  });
});
