import { DynamoError } from '@dynamo-ts/base';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { beforeEach, describe, expect, it } from 'vitest';

import type { EngineSleep } from '../engines/engine-sleep.ts';
import { engineAction, enginePage } from './engine-routes.ts';
import { WORKER_METRICS } from './metrics.ts';
import { SleepMode } from './sleep-mode.ts';
import type { SleepModeOptions } from './sleep-mode.ts';

describe('SleepMode', () => {
  const told: string[] = [];
  let failing: string | undefined;
  let registry: MetricsRegistry;

  function tell(what: string): Promise<void> {
    told.push(what);
    if (what !== failing) return Promise.resolve();
    return Promise.reject(new DynamoError('backend.error', `${what} failed`));
  }

  const engineSleep: EngineSleep = {
    check: () => tell('check'),
    sleep: (level) => tell(`sleep ${level}`),
    wake: (parts) => tell(`wake ${parts.join(' ')}`),
  };

  function create(engine: SleepModeOptions['engine'] = { kind: 'openai', sleepMode: engineSleep }) {
    return new SleepMode({
      engine,
      host: {
        check: () => undefined,
        leave: () => tell('leave'),
        asleep: () => void told.push('asleep'),
        comeBack: () => tell('come back'),
      },
      gauge: registry
        .gauge(WORKER_METRICS.engineSleeping)
        .bind({ worker_id: '1', engine: 'openai' }),
      logger: nullLogger,
    });
  }

  async function act(mode: SleepMode, path: string, body = '') {
    const options = { sleepMode: mode, defaultLevel: 1 };
    const page = await engineAction({ url: `/engine/${path}`, body }, options);
    return [page?.status, JSON.parse(page?.json ?? '{}') as { message?: string }] as const;
  }

  beforeEach(() => {
    told.length = 0;
    failing = undefined;
    registry = new MetricsRegistry();
  });

  it('leaves before the engine sleeps and comes back when it is awake', async () => {
    await using mode = create();
    expect(await act(mode, 'sleep')).toEqual([
      200,
      { status: 'ok', message: 'Engine slept (level=1)' },
    ]);
    expect(told).toEqual(['check', 'leave', 'sleep 1', 'asleep']);
    expect(
      (await enginePage('/engine/is_sleeping', { sleepMode: mode, defaultLevel: 1 }))?.json,
    ).toBe('{"is_sleeping":true}');
    expect(await registry.text()).toMatch(/engine_sleeping\{.*\} 1/);
    expect((await act(mode, 'sleep', '{"level":2}'))[1].message).toBe('Engine already sleeping');
    told.length = 0;
    expect((await act(mode, 'wake_up', '{}'))[1].message).toBe('Engine woke');
    expect(told).toEqual(['wake weights kv_cache', 'come back']);
    expect((await act(mode, 'wake_up'))[1].message).toBe('Engine already awake');
    expect(mode.level).toBeUndefined();
    expect(await registry.text()).toMatch(/engine_sleeping\{.*\} 0/);
  });

  it('comes back only when every part is awake', async () => {
    await using mode = create();
    await mode.sleep(2);
    told.length = 0;
    const [, first] = await act(mode, 'wake_up', '{"tags":["weights"]}');
    expect(first.message).toBe('Engine woke (tags=weights); asleep: kv_cache');
    expect(mode.level).toBe(2);
    expect(told).toEqual(['wake weights']);
    await act(mode, 'wake_up', '{"tags":["kv_cache"]}');
    expect(told).toEqual(['wake weights', 'wake kv_cache', 'come back']);
  });

  it('must be woken up after a sleep that failed', async () => {
    await using mode = create();
    failing = 'sleep 1';
    expect(await act(mode, 'sleep')).toEqual([500, { status: 'error', message: 'sleep 1 failed' }]);
    expect(await act(mode, 'sleep')).toEqual([
      409,
      { status: 'error', message: 'wake_up required before retrying sleep' },
    ]);
    failing = undefined;
    expect((await act(mode, 'wake_up'))[1].message).toBe('Engine woke');
    expect((await act(mode, 'sleep'))[0]).toBe(200);
  });

  it('can be woken up after it has left in part', async () => {
    await using mode = create();
    failing = 'leave';
    expect(await act(mode, 'sleep')).toEqual([500, { status: 'error', message: 'leave failed' }]);
    failing = undefined;
    expect((await act(mode, 'wake_up'))[1].message).toBe('Engine woke');
    expect(told).toEqual(['check', 'leave', 'wake weights kv_cache', 'come back']);
    expect((await act(mode, 'sleep'))[0]).toBe(200);
  });

  it('gives nothing up for an engine that cannot sleep, and names it', async () => {
    await using without = create({ kind: 'llama-server' });
    const [status, { message }] = await act(without, 'sleep');
    expect([status, message]).toEqual([501, expect.stringContaining('llama-server cannot sleep')]);
    failing = 'check';
    await using mode = create();
    expect((await act(mode, 'sleep'))[0]).toBe(500);
    expect(told).toEqual(['check']);
    failing = undefined;
    expect((await act(mode, 'sleep'))[0]).toBe(200);
  });

  it('sleeps again when its engine has been started again, and is awake when nobody knew', async () => {
    await using mode = create();
    expect(await mode.restarted()).toBe(false);
    await mode.sleep(3);
    told.length = 0;
    expect(await mode.restarted()).toBe(true);
    expect(told).toEqual(['sleep 3', 'asleep']);
    failing = 'come back';
    await expect(mode.wake()).rejects.toThrow('come back failed');
    expect(await mode.restarted()).toBe(false);
    expect(await mode.wake()).toBe('Engine already awake');
  });

  it('does one thing after the other', async () => {
    await using mode = create();
    const answers = await Promise.all([mode.sleep(1), mode.wake(), mode.sleep(2)]);
    expect(answers).toEqual(['Engine slept (level=1)', 'Engine woke', 'Engine slept (level=2)']);
  });

  it.each([
    ['sleep', '[]'],
    ['sleep', '{'],
    ['sleep', '{"level":0}'],
    ['sleep', '{"level":"1"}'],
    ['wake_up', '{"tags":["brain"]}'],
    ['wake_up', '{"tags":["weights","brain"]}'],
    ['wake_up', '{"tags":"weights"}'],
  ])('refuses to %s with %s', async (path, body) => {
    await using mode = create();
    expect((await act(mode, path, body))[0]).toBe(400);
    expect(told).toEqual([]);
  });

  it('leaves other paths alone', async () => {
    await using mode = create();
    const options = { sleepMode: mode, defaultLevel: 1 };
    expect(await enginePage('/engine/sleep', options)).toBeUndefined();
    expect(await engineAction({ url: '/engine/else', body: '' }, options)).toBeUndefined();
    expect(await engineAction({ url: '/engine/sleep', body: '' }, undefined)).toBeUndefined();
  });
});
