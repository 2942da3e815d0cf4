import { DynamoError } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { MetricsRegistry, Tracer, nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { annotated } from './annotated.ts';
import { Context } from './context.ts';
import { EtcdDiscovery } from './discovery/etcd/etcd-discovery.ts';
import { DistributedRuntime } from './distributed-runtime.ts';
import type { DistributedRuntimeOptions } from './distributed-runtime.ts';
import { createLocalPlanes } from './local-planes.ts';
import type { Planes } from './planes.ts';

const PATH = 'test.backend.generate';

describe('DistributedRuntime', () => {
  let planes: Planes;
  const runtimes: DistributedRuntime[] = [];

  async function runtime(
    options: Partial<DistributedRuntimeOptions> = {},
  ): Promise<DistributedRuntime> {
    const made = await DistributedRuntime.connect({
      ...planes,
      logger: nullLogger,
      inhibitedMs: 20,
      ...options,
    });
    runtimes.push(made);
    return made;
  }

  beforeEach(() => {
    planes = createLocalPlanes();
  });

  afterEach(async () => {
    await Promise.all(runtimes.splice(0).map((each) => each.close()));
    await planes.close();
  });

  async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
    const items: T[] = [];
    for await (const item of stream) items.push(item);
    return items;
  }

  it('serves a generator and calls it from another runtime', async () => {
    const server = await runtime();
    await server.endpoint(PATH).serve<string, string>(async function* (request) {
      for (const word of request.split(',')) yield `Hello ${word}!`;
    });
    const client = await (await runtime()).endpoint(`dyn://${PATH}`).client<string, string>();
    await client.waitForInstances();
    expect(client.instanceIds()).toEqual([server.instanceId]);
    expect(await collect(await client.generate('a,b'))).toEqual(['Hello a!', 'Hello b!']);
  });

  it('keeps 64-bit integers and gives envelopes when asked', async () => {
    const server = await runtime({ namespace: 'test' });
    expect(server.namespacePrimary().name).toBe('test');
    await server
      .namespacePrimary()
      .component('backend')
      .registerEndpoint('generate', async function* () {
        yield { big: 2n ** 63n };
        yield annotated({ event: 'note', comment: ['hello'] });
      });
    const client = await server.endpoint(PATH).client<null>();
    expect(await collect(await client.generate(null))).toEqual([{ big: 2n ** 63n }]);
    expect(await collect(await client.generate(null, { annotated: true }))).toEqual([
      { data: { big: 2n ** 63n } },
      { event: 'note', comment: ['hello'] },
    ]);
  });

  it('takes another instance, unseen, when one refuses or breaks before its first item', async () => {
    const failing = await runtime();
    await failing.endpoint(PATH).serveRaw(async (_request, sink) => {
      await new Promise((resolve) => setImmediate(resolve));
      sink.fail(new DynamoError('backend.engine_shutdown', 'gone'));
    });
    const refusing = await runtime();
    (await refusing.endpoint(PATH).serve(async function* () {})).refuse();
    const good = await runtime();
    await good.endpoint(PATH).serve(async function* () {
      yield 'ok';
    });
    const client = await (await runtime()).endpoint(PATH).client<null, string>();
    for (let attempt = 0; attempt < 6; attempt++) {
      const stream = await client.generate(null);
      expect(stream.instanceId).toBe(good.instanceId);
      expect(await collect(stream)).toEqual(['ok']);
    }
    expect(client.routable()).not.toContain(failing.instanceId);
    expect(client.instanceIds()).toContain(failing.instanceId);
    await vi.waitFor(() => {
      expect(client.routable()).toContain(failing.instanceId);
    });
  });

  it('never shuts out the last instance', async () => {
    const server = await runtime({ inhibitedMs: 60_000 });
    let failures = 1;
    await server.endpoint(PATH).serve(async function* () {
      if (failures-- > 0) throw new DynamoError('transport.disconnected', 'once');
      yield 'ok';
    });
    const client = await server.endpoint(PATH).client<null, string>();
    await expect(client.generate(null)).rejects.toMatchObject({ code: 'transport.disconnected' });
    expect(client.routable()).toEqual([server.instanceId]);
    expect(await collect(await client.generate(null))).toEqual(['ok']);
  });

  it('says whether nobody is there or everybody is busy', async () => {
    const server = await runtime();
    const client = await server.endpoint(PATH).client();
    await expect(client.generate(1)).rejects.toMatchObject({ code: 'backend.unavailable' });
    await server.endpoint(PATH).serve(async function* () {
      throw new DynamoError('capacity.worker_overloaded', 'full');
    });
    await client.waitForInstances();
    await expect(client.generate(1)).rejects.toMatchObject({ code: 'capacity.pool_exhausted' });
    expect(client.free()).toEqual([]);
    await expect(client.generate(1)).rejects.toMatchObject({ code: 'capacity.pool_exhausted' });
    client.reportFree(server.instanceId);
    expect(client.free()).toEqual([server.instanceId]);
  });

  it('counts a request in flight until its answer ends, fails or is left', async () => {
    const server = await runtime();
    await server.endpoint(PATH).serve<string, number>(async function* (how) {
      yield 1;
      if (how === 'fail') throw new Error('no');
      if (how === 'leave') await new Promise(() => undefined);
    });
    const client = await server.endpoint(PATH).client<string, number>();
    const id: InstanceId = server.instanceId;
    const ended = await client.direct('end', id);
    await collect(ended);
    expect(client.inFlight(id)).toBe(0);
    await expect(collect(await client.direct('fail', id))).rejects.toMatchObject({
      code: 'backend.error',
    });
    expect(client.inFlight(id)).toBe(0);
    const left = await client.direct('leave', id);
    expect(client.inFlight(id)).toBe(1);
    for await (const _ of left) break;
    expect(client.inFlight(id)).toBe(0);
  });

  it('sends nothing directly to an instance that is inhibited while there is another', async () => {
    const [one, two] = [await runtime(), await runtime()];
    for (const server of [one, two]) {
      await server.endpoint(PATH).serve(async function* () {
        yield 1;
      });
    }
    const caller = await runtime({ inhibitedMs: 60_000 });
    const client = await caller.endpoint(PATH).client<null, number>();
    await vi.waitFor(() => expect(client.instanceIds()).toHaveLength(2));
    client.reportDown(one.instanceId);
    await expect(client.direct(null, one.instanceId)).rejects.toMatchObject({
      code: 'backend.unavailable',
    });
    expect(await collect(await client.direct(null, two.instanceId))).toEqual([1]);
    // The last way there is stays open.
    client.reportDown(two.instanceId);
    expect(await collect(await client.direct(null, one.instanceId))).toEqual([1]);
  });

  it('passes stop on through a handler that gives its context to the next call', async () => {
    const server = await runtime();
    await server.endpoint('demo.server.generate').serve<null, number>(async function* (_, context) {
      for (let index = 0; !context.isStopped(); index++) {
        yield index;
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const inner = await server.endpoint('demo.server.generate').client<null, number>();
    await server.endpoint('demo.middle.generate').serve<null, number>(async function* (_, context) {
      yield* await inner.generate(null, { context });
    });
    const outer = await server.endpoint('demo.middle.generate').client<null, number>();
    const context = new Context();
    const seen: number[] = [];
    for await (const item of await outer.generate(null, { context })) {
      seen.push(item);
      if (seen.length === 3) context.stopGenerating();
    }
    expect(seen.length).toBeGreaterThanOrEqual(3);
    expect(inner.inFlight(server.instanceId)).toBe(0);
  });

  it('shuts down although the store never took its registration', { timeout: 20_000 }, async () => {
    const settings = { endpoints: ['http://127.0.0.1:1'] };
    await using discovery = new EtcdDiscovery({ settings, logger: nullLogger });
    const server = await runtime({ discovery });
    const serving = server.endpoint(PATH).serve(async function* () {
      yield 1;
    });
    const refused = expect(serving).rejects.toMatchObject({ code: 'runtime.closed' });
    await vi.waitFor(() => {
      expect(server.served()).toHaveLength(1);
    });
    await server.shutdown();
    await refused;
  });

  it('drains on shutdown: deregistered first, running requests finish, then nothing is served', async () => {
    const server = await runtime();
    const gate = Promise.withResolvers<undefined>();
    await server.endpoint(PATH).serve(async function* () {
      yield 1;
      await gate.promise;
      yield 2;
    });
    const client = await (await runtime()).endpoint(PATH).client<null, number>();
    const stream = await client.generate(null);
    const closing = server.shutdown({ drainTimeoutMs: 10_000 });
    await vi.waitFor(() => {
      expect(client.instanceIds()).toEqual([]);
    });
    gate.resolve(undefined);
    expect(await collect(stream)).toEqual([1, 2]);
    await closing;
    await expect(client.generate(null)).rejects.toMatchObject({ code: 'backend.unavailable' });
  });

  it('cuts what is not done by the drain deadline with an error that may migrate', async () => {
    const server = await runtime();
    await server.endpoint(PATH).serve(async function* () {
      yield 1;
      await new Promise(() => undefined);
    });
    const client = await (await runtime()).endpoint(PATH).client<null, number>();
    const stream = await client.generate(null);
    await Promise.all([
      server.shutdown({ drainTimeoutMs: 20 }),
      expect(collect(stream)).rejects.toMatchObject({ code: 'backend.engine_shutdown' }),
    ]);
  });

  it('sleeps and wakes by unregister and register', async () => {
    const server = await runtime();
    const served = await server.endpoint(PATH).serve(async function* () {
      yield 1;
    });
    const client = await server.endpoint(PATH).client<null, number>();
    await served.unregister();
    await vi.waitFor(() => {
      expect(client.instanceIds()).toEqual([]);
    });
    await served.register();
    await client.waitForInstances({ signal: AbortSignal.timeout(1000) });
    expect(await collect(await client.generate(null))).toEqual([1]);
  });

  it('counts requests, bytes, errors and cancellations, and continues the trace', async () => {
    const metrics = new MetricsRegistry();
    const server = await runtime({ metrics, tracer: new Tracer() });
    let traceparent: string | undefined;
    await server.endpoint(PATH).serve<string, number>(
      async function* (how, context) {
        traceparent = context.headers['traceparent'];
        yield 1;
        if (how === 'fail') throw new Error('no');
        if (how === 'leave') await new Promise(() => undefined);
      },
      { metricsLabels: { model: 'm' } },
    );
    const client = await server.endpoint(PATH).client<string, number>();
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const context = new Context({ headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` } });
    await collect(await client.generate('end', { context }));
    expect(traceparent).toContain(traceId);
    expect(traceparent).not.toContain('b7ad6b7169203331');
    await collect(await client.generate('fail')).catch(() => undefined);
    for await (const _ of await client.generate('leave')) break;
    const page = await metrics.text();
    const value = (name: string): number =>
      Number(new RegExp(`^${name}\\{.*model="m".*\\} (\\S+)$`, 'm').exec(page)?.[1]);
    expect(value('dynamo_component_requests_total')).toBe(3);
    expect(value('dynamo_component_inflight_requests')).toBe(0);
    expect(value('dynamo_component_time_to_first_response_seconds_count')).toBe(3);
    expect(value('dynamo_component_cancellation_total')).toBe(1);
    expect(value('dynamo_component_request_bytes_total')).toBeGreaterThan(10);
    expect(value('dynamo_component_response_bytes_total')).toBeGreaterThan(10);
    expect(value('dynamo_component_network_transit_seconds_count')).toBe(3);
    expect(value('dynamo_component_network_transit_seconds_sum')).toBeLessThan(60);
    expect(page).toMatch(/errors_total\{.*error_type="generate".*\} 1/);
    expect(page).toMatch(/errors_total\{.*error_type="publish_response".*\} 0/);
  });
});
