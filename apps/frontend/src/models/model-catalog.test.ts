import type { ModelDeploymentCard } from '@dynamo-ts/protocol';
import { ModelRecord } from '@dynamo-ts/protocol';
import type { Clock } from '@dynamo-ts/base';
import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it } from 'vitest';

import { ModelCatalog } from './model-catalog.ts';
import type { WorkerSet } from './worker-set.ts';

/** A clock whose sleeps end when the test says so. */
function heldClock(): { clock: Clock; wake: () => Promise<void> } {
  const sleepers: (() => void)[] = [];
  const clock: Clock = {
    now: () => 0,
    monotonicMs: () => 0,
    sleep: (_ms, options) =>
      new Promise((resolve, reject) => {
        sleepers.push(resolve);
        options?.signal?.addEventListener('abort', () => {
          reject(new Error('aborted'));
        });
      }),
  };
  const wake = async (): Promise<void> => {
    for (const resolve of sleepers.splice(0)) resolve();
    await Promise.resolve();
    await Promise.resolve();
  };
  return { clock, wake };
}

function setUp(lingerMs = 60_000) {
  const started: WorkerSet[] = [];
  const { clock, wake } = heldClock();
  const onSet = (set: WorkerSet): void => void started.push(set);
  const catalog = new ModelCatalog({ logger: nullLogger, lingerMs, clock, onSet });
  return { catalog, started, wake };
}

const record = (instanceId: bigint, fields: Partial<ModelDeploymentCard> = {}): ModelRecord =>
  ModelRecord.fromPartial({
    namespace: 'n',
    component: 'c',
    endpoint: 'e',
    instanceId,
    card: { displayName: 'm', mdcSum: 'one', ...fields },
  });

const codeOf = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (error) {
    return (error as { code?: string }).code;
  }
};

describe('ModelCatalog', () => {
  it('starts one set for all workers that publish the same card', () => {
    const { catalog, started } = setUp();
    catalog.put('a', record(1n));
    catalog.put('b', record(2n));
    expect(started).toHaveLength(1);
    expect(started[0]?.publishers).toEqual([1n, 2n]);
  });

  it('says 404 for what was never there and 503 while nothing can serve it', () => {
    const { catalog } = setUp();
    expect(codeOf(() => catalog.acquire('m'))).toBe('request.model_not_found');
    catalog.put('a', record(1n));
    expect(codeOf(() => catalog.acquire('m'))).toBe('backend.unavailable');
  });

  it('remembers a model without workers for a while and then forgets it', async () => {
    const { catalog, started, wake } = setUp();
    catalog.put('a', record(1n));
    catalog.delete('a');
    expect(codeOf(() => catalog.acquire('m'))).toBe('backend.unavailable');
    await wake();
    expect(codeOf(() => catalog.acquire('m'))).toBe('request.model_not_found');
    expect(started[0]?.signal.aborted).toBe(true);
  });

  it('never forgets one that may stay longer than timers can wait', async () => {
    const { catalog, wake } = setUp(30 * 24 * 3_600_000);
    catalog.put('a', record(1n));
    catalog.delete('a');
    await wake();
    expect(codeOf(() => catalog.acquire('m'))).toBe('backend.unavailable');
  });

  it('takes a worker that comes back into the same set', async () => {
    const { catalog, started, wake } = setUp();
    catalog.put('a', record(1n));
    catalog.delete('a');
    catalog.put('b', record(2n));
    await wake();
    expect(started).toHaveLength(1);
    expect(codeOf(() => catalog.acquire('m'))).toBe('backend.unavailable');
  });

  it('refuses a worker whose card differs, until the others have gone', () => {
    const { catalog, started } = setUp();
    catalog.put('a', record(1n));
    catalog.put('b', record(2n, { mdcSum: 'two' }));
    expect(started).toHaveLength(1);
    expect(started[0]?.publishers).toEqual([1n]);
    catalog.delete('a');
    expect(started).toHaveLength(2);
    expect(started[0]?.signal.aborted).toBe(true);
    expect(started[1]?.publishers).toEqual([2n]);
  });

  it('begins anew when the only worker publishes another card', () => {
    const { catalog, started } = setUp();
    catalog.put('a', record(1n));
    catalog.put('a', record(1n, { mdcSum: 'two' }));
    expect(started.map(({ card }) => card.mdcSum)).toEqual(['one', 'two']);
  });

  it('leads aliases to their model', () => {
    const { catalog } = setUp();
    catalog.put('a', record(1n, { aliases: ['short'] }));
    expect(catalog.canonicalName('short')).toBe('m');
    expect(catalog.canonicalName('other')).toBeUndefined();
  });
});
