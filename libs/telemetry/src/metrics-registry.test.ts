import { describe, expect, it } from 'vitest';

import { MetricsRegistry } from './metrics-registry.ts';

describe('MetricsRegistry', () => {
  it('writes counters and gauges with their labels', async () => {
    const registry = new MetricsRegistry();
    const requests = registry.counter({
      name: 'requests_total',
      help: 'h',
      labels: ['model', 'n'],
    });
    requests.inc({ model: 'a"b\\c\nd', n: 1 });
    requests.inc({ n: 1, model: 'a"b\\c\nd' }, 2);
    const active = registry.gauge({ name: 'active', help: 'h' });
    active.inc(undefined, 3);
    active.dec();
    const text = await registry.text();
    expect(text).toContain('# TYPE requests_total counter');
    expect(text).toContain('requests_total{model="a\\"b\\\\c\\nd",n="1"} 3');
    expect(text).toContain('active 2');
  });

  it('shows a metric without labels as 0 before its first event', async () => {
    const registry = new MetricsRegistry();
    registry.counter({ name: 'errors_total', help: 'h' });
    expect(await registry.text()).toContain('errors_total 0');
  });

  it('writes cumulative buckets, sum and count, with an upper bound included', async () => {
    const registry = new MetricsRegistry();
    const latency = registry.histogram({
      name: 'latency',
      help: 'h',
      labels: ['model'],
      buckets: [0, 1, 2],
    });
    const bound = latency.bind({ model: 'm' });
    bound.observe(1);
    bound.observe(1.5, 3);
    latency.observe({ model: 'm' }, 9);
    const lines = (await registry.text()).split('\n').filter((line) => line.startsWith('latency'));
    expect(lines).toEqual([
      'latency_bucket{le="0",model="m"} 0',
      'latency_bucket{le="1",model="m"} 1',
      'latency_bucket{le="2",model="m"} 4',
      'latency_bucket{le="+Inf",model="m"} 5',
      'latency_sum{model="m"} 14.5',
      'latency_count{model="m"} 5',
    ]);
  });

  it('folds ten thousand unknown label sets into one series and counts them', async () => {
    const registry = new MetricsRegistry();
    const requests = registry.counter({
      name: 'requests_total',
      help: 'h',
      labels: ['model'],
      maxSeries: 100,
    });
    for (let index = 0; index < 10_000; index++) requests.inc({ model: `m${index}` });
    requests.inc({ model: 'm5' });
    const text = await registry.text();
    expect(text.match(/^requests_total\{/gm)).toHaveLength(101);
    expect(text).toContain('requests_total{model="other"} 9900');
    expect(text).toContain('requests_total{model="m5"} 2');
    expect(text).toContain('dynamo_metrics_folded_series_total{metric="requests_total"} 9900');
  });

  it('makes room when a series is removed', async () => {
    const registry = new MetricsRegistry();
    const load = registry.gauge({ name: 'load', help: 'h', labels: ['worker'], maxSeries: 1 });
    load.set({ worker: 'a' }, 1);
    load.remove({ worker: 'a' });
    load.set({ worker: 'b' }, 2);
    const text = await registry.text();
    expect(text).toContain('load{worker="b"} 2');
    expect(text).not.toContain('worker="a"');
  });

  it('removes a series that several add to when none of them has a part left', async () => {
    const registry = new MetricsRegistry();
    const load = registry.gauge({ name: 'load', help: 'h', labels: ['model'] });
    load.inc({ model: 'a' }, 2);
    load.removeZero({ model: 'a' });
    expect(await registry.text()).toContain('load{model="a"} 2');
    load.dec({ model: 'a' }, 2);
    load.removeZero({ model: 'a' });
    load.removeZero({ model: 'a' });
    expect(await registry.text()).not.toContain('model="a"');
  });

  it('gives the same metric for the same definition and refuses another one of that name', () => {
    const registry = new MetricsRegistry();
    const spec = { name: 'x_total', help: 'h', labels: ['a'] } as const;
    expect(registry.counter(spec)).toBe(registry.counter(spec));
    expect(() => registry.counter({ ...spec, labels: ['b'] })).toThrow(/defined twice/);
    expect(() => registry.gauge(spec)).toThrow(/defined twice/);
  });

  it("replaces the frontend's prefix only, and mends forbidden characters", async () => {
    const registry = new MetricsRegistry({ prefix: '9my-app_' });
    registry.counter({ name: 'dynamo_frontend_requests_total', help: 'h' });
    registry.counter({ name: 'dynamo_component_requests_total', help: 'h' });
    const text = await registry.text();
    expect(text).toContain('\n_9my_app_requests_total 0');
    expect(text).toContain('\ndynamo_component_requests_total 0');
  });

  it('computes gauges at each scrape until unsubscribed', async () => {
    const registry = new MetricsRegistry();
    const gauge = registry.gauge({ name: 'age', help: 'h' });
    let calls = 0;
    const stop = registry.onCollect(() => gauge.set(undefined, ++calls));
    await registry.text();
    expect(await registry.text()).toContain('age 2');
    stop();
    expect(await registry.text()).toContain('age 2');
  });

  it("appends an engine's page without metrics that are there already, and survives its failure", async () => {
    const registry = new MetricsRegistry();
    registry.counter({ name: 'mine_total', help: 'h' }).inc();
    registry.onPage(async () => Promise.reject(new Error('engine is gone')));
    registry.onPage(async () =>
      Promise.resolve(
        '# HELP mine_total x\n# TYPE mine_total counter\nmine_total 99\n# TYPE vllm:x gauge\nvllm:x{a="b"} 1\n',
      ),
    );
    registry.onPage(async () => Promise.resolve('# TYPE vllm:x gauge\nvllm:x{a="b"} 2\n'));
    const text = await registry.text();
    expect(text.match(/^mine_total /gm)).toHaveLength(1);
    expect(text).toContain('mine_total 1');
    expect(text.match(/^vllm:x\{/gm)).toEqual(['vllm:x{']);
    expect(text.endsWith('\n')).toBe(true);
  });

  it('adds process metrics when asked', async () => {
    const text = await new MetricsRegistry({ processMetrics: true }).text();
    expect(text).toContain('process_cpu_seconds_total');
  });
});
