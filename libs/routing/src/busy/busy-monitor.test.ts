import { describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { ActiveLoad } from '@dynamo-ts/protocol';
import { createLocalPlanes } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { FakeClock } from '@dynamo-ts/testing';

import type { InstanceView } from '../local-router.ts';
import { withoutBusy } from './busy-instance-view.ts';
import { BusyMonitor } from './busy-monitor.ts';
import type { BusyMonitorOptions } from './busy-monitor.ts';
import { BusyThresholds } from './busy-thresholds.ts';

const [first, second] = [asInstanceId(1n), asInstanceId(2n)];
const models = ['m'];
const path = { namespace: 'test', component: 'backend', endpoint: 'generate' };

const reportOf = (workerId: bigint, fields: Partial<ActiveLoad> = {}): Uint8Array =>
  ActiveLoad.encode(ActiveLoad.create({ workerId, totalKvBlocks: 100, ...fields })).finish();

function setUp(options: Partial<BusyMonitorOptions> = {}) {
  const planes = createLocalPlanes();
  const clock = new FakeClock();
  const thresholds = new BusyThresholds();
  const monitor = new BusyMonitor({
    thresholds,
    models: () => models,
    modelsOf: () => models,
    limitsOf: (id) =>
      id === first || id === second ? { totalKvBlocks: 0, maxBatchedTokens: 1000 } : undefined,
    path,
    events: planes.events,
    clock,
    logger: nullLogger,
    ...options,
  });
  return { planes, clock, thresholds, monitor };
}

/** Two ranks of two workers with what is booked on them. */
function bookedOn() {
  const overloaded = new Set<InstanceId>();
  const loads = {
    workerIds: BigUint64Array.of(1n, 2n),
    dpRanks: Uint32Array.of(0, 0),
    prefillTokens: Float64Array.of(0, 0),
    decodeBlocks: Float64Array.of(0, 0),
    totalKvBlocks: Float64Array.of(0, 0),
    maxBatchedTokens: Float64Array.of(1000, 1000),
  };
  const core = {
    loads: () => loads,
    setOverloaded: (id: InstanceId, _rank: number, isOverloaded: boolean) => {
      if (isOverloaded) overloaded.add(id);
      else overloaded.delete(id);
    },
  };
  return { core, loads, overloaded };
}

describe('BusyMonitor', () => {
  it('hears workers on the event plane', async () => {
    const { core, overloaded } = bookedOn();
    const { planes, thresholds, monitor } = setUp({ core });
    thresholds.set('m', { activeDecodeBlocksThreshold: 0.8 });
    monitor.start();
    const topic = {
      scope: { namespace: 'test', component: 'backend' },
      topic: 'load_metrics',
    };
    await using publisher = await planes.events.publisher(topic, 1n);
    publisher.publish(reportOf(1n, { activeDecodeBlocks: 81 }));
    await vi.waitFor(() => {
      expect([...overloaded]).toEqual([first]);
    });
    publisher.publish(reportOf(1n, { activeDecodeBlocks: 80 }));
    await vi.waitFor(() => {
      expect(overloaded.size).toBe(0);
    });
    await monitor.close();
    await planes.close();
  });

  it('needs both accounts of a rank to be below before it is free', async () => {
    const onChange = vi.fn();
    const { core, loads, overloaded } = bookedOn();
    const { clock, thresholds, monitor } = setUp({ core, onChange });
    thresholds.set('m', { activePrefillTokensThresholdFrac: 2 });
    loads.prefillTokens[1] = 2001;
    monitor.refresh();
    expect([...overloaded]).toEqual([second]);
    monitor.accept(reportOf(2n, { activePrefillTokens: 2001 }));
    loads.prefillTokens[1] = 0;
    await clock.advance(10);
    monitor.refresh();
    expect([...overloaded]).toEqual([second]);
    monitor.accept(reportOf(2n, { activePrefillTokens: 0 }));
    expect([overloaded.size, onChange.mock.calls.length]).toEqual([0, 2]);
  });

  it('follows thresholds that change while it runs', () => {
    const { core, loads, overloaded } = bookedOn();
    const { thresholds, monitor } = setUp({ core });
    loads.prefillTokens[0] = 600;
    monitor.refresh();
    expect(overloaded.size).toBe(0);
    thresholds.set('m', { activePrefillTokensThreshold: 500 });
    monitor.refresh();
    expect([...overloaded]).toEqual([first]);
    thresholds.set('m', { activePrefillTokensThreshold: null });
    monitor.refresh();
    expect(overloaded.size).toBe(0);
  });

  it('does not count a report that is old, so that the last worker is not shut out by silence', async () => {
    const { core, overloaded } = bookedOn();
    const { clock, thresholds, monitor } = setUp({ core });
    thresholds.set('m', { activeDecodeBlocksThreshold: 0.5 });
    monitor.start();
    monitor.accept(reportOf(1n, { activeDecodeBlocks: 90 }));
    await clock.advance(29_000);
    expect([...overloaded]).toEqual([first]);
    await clock.advance(2000);
    expect(overloaded.size).toBe(0);
    await monitor.close();
  });

  it('goes by the lowest threshold of the models that a worker serves', async () => {
    const { core, loads, overloaded } = bookedOn();
    const metrics = new MetricsRegistry();
    const served = new Map([
      [first, ['m', 'adapter']],
      [second, ['m']],
    ]);
    const { clock, thresholds, monitor } = setUp({
      core,
      metrics,
      models: () => ['m', 'adapter'],
      modelsOf: (id) => served.get(id) ?? [],
    });
    monitor.start();
    thresholds.set('m', { activePrefillTokensThreshold: 1000 });
    thresholds.set('adapter', { activePrefillTokensThreshold: 500 });
    loads.prefillTokens.fill(600);
    monitor.refresh();
    expect([...overloaded]).toEqual([first]);
    loads.prefillTokens.fill(1001);
    await clock.advance(10);
    monitor.refresh();
    expect([...overloaded].sort()).toEqual([first, second]);
    const text = await metrics.text();
    expect(text).toContain('dynamo_frontend_router_busy_ranks{model="m"} 2');
    expect(text).toContain('dynamo_frontend_router_busy_ranks{model="adapter"} 1');
    await monitor.close();
  });

  it('shows a model for as long as an endpoint serves it', async () => {
    const metrics = new MetricsRegistry();
    const served = new Set(['m', 'n']);
    const busy = { modelsOf: () => ['m', 'n'], metrics };
    const one = setUp({ ...busy, models: () => served });
    const other = setUp({ ...busy, models: () => ['n'] });
    for (const { monitor, thresholds } of [one, other]) {
      thresholds.set('m', { activeDecodeBlocksThreshold: 0.5 });
      monitor.start();
      monitor.accept(reportOf(1n, { activeDecodeBlocks: 90 }));
    }
    const shown = async (): Promise<readonly string[]> =>
      (await metrics.text()).match(/busy_ranks\{.*/g) ?? [];
    expect(await shown()).toEqual(['busy_ranks{model="m"} 1', 'busy_ranks{model="n"} 2']);
    served.clear();
    expect(await shown()).toEqual(['busy_ranks{model="n"} 1']);
    await other.monitor.close();
    expect(await shown()).toEqual([]);
    await one.monitor.close();
  });

  it('calls a worker busy when all its ranks are', () => {
    const { thresholds, monitor } = setUp();
    thresholds.set('m', { activeDecodeBlocksThreshold: 0.5 });
    monitor.accept(reportOf(1n, { dpRank: 0, activeDecodeBlocks: 90 }));
    monitor.accept(reportOf(1n, { dpRank: 1, activeDecodeBlocks: 10 }));
    expect(monitor.isBusy(first)).toBe(false);
    monitor.accept(reportOf(1n, { dpRank: 1, activeDecodeBlocks: 60 }));
    expect([monitor.isBusy(first), monitor.isBusy(second)]).toEqual([true, false]);
  });

  it('ignores what it cannot read and workers of other endpoints, and shows how many are busy', async () => {
    const metrics = new MetricsRegistry();
    const { thresholds, monitor } = setUp({ metrics });
    thresholds.set('m', { activeDecodeBlocksThreshold: 0.5 });
    monitor.start();
    monitor.accept(Uint8Array.of(255, 255, 255));
    monitor.accept(reportOf(9n, { activeDecodeBlocks: 90 }));
    monitor.accept(reportOf(2n, { activeDecodeBlocks: 90 }));
    expect(await metrics.text()).toContain('dynamo_frontend_router_busy_ranks{model="m"} 1');
    await monitor.close();
  });

  it('takes busy workers out of a view of instances', () => {
    const { thresholds, monitor } = setUp();
    const ids = [first, second];
    const instances: InstanceView = {
      path,
      instanceIds: () => ids,
      routable: () => ids,
      free: () => ids,
    };
    const view = withoutBusy(instances, monitor);
    expect(view.free()).toBe(ids);
    thresholds.set('m', { activeDecodeBlocksThreshold: 0.5 });
    monitor.accept(reportOf(1n, { activeDecodeBlocks: 51 }));
    expect([view.free(), view.routable()]).toEqual([[second], ids]);
  });
});
