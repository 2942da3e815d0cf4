import { describe, expect, it, vi } from 'vitest';

import { DynamoError } from '@dynamo-ts/base';
import type { ErrorCode, InstanceId } from '@dynamo-ts/base';
import { Context } from '@dynamo-ts/runtime';
import type { RawHandler } from '@dynamo-ts/runtime';
import { MetricsRegistry, Tracer, injectTraceContext, nullLogger } from '@dynamo-ts/telemetry';
import type { FinishedSpan } from '@dynamo-ts/telemetry';
import { HoldGate } from '@dynamo-ts/testing';

import type { DispatchedStream } from './booked-stream.ts';
import { Dispatcher } from './dispatcher.ts';
import type { DispatchRequest, DispatcherOptions } from './dispatcher.ts';
import { LocalRouter } from './local-router.ts';
import { TestCluster } from './testing-cluster.ts';

const item = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Answers with the texts, one item each. */
const answering =
  (...texts: readonly string[]): RawHandler =>
  (_request, sink) => {
    for (const text of texts) sink.write(item(text));
    sink.end();
  };

/** Refuses before it accepts. */
const refusing =
  (code: ErrorCode): RawHandler =>
  () => {
    throw new DynamoError(code, `refused with ${code}`);
  };

/** Accepts, waits at the gate, then breaks. */
const breakingAt =
  (gate: HoldGate, code: ErrorCode, first?: string): RawHandler =>
  async (_request, sink) => {
    if (first !== undefined) sink.write(item(first));
    await gate.pass();
    sink.fail(new DynamoError(code, `broken with ${code}`));
  };

/** Accepts and never answers; the gate counts who waits and who was killed. */
const silent =
  (gate: HoldGate, killed: () => void = () => undefined): RawHandler =>
  async ({ context }) => {
    await gate.pass({ signal: context.killed }).catch(killed);
  };

interface Bench {
  readonly dispatcher: Dispatcher;
  readonly router: LocalRouter;
  readonly metrics: MetricsRegistry;
}

function bench(cluster: TestCluster, options: Partial<DispatcherOptions> = {}): Bench {
  const { client, caller } = cluster;
  const metrics = new MetricsRegistry();
  const router = new LocalRouter({ instances: client, routerId: caller.instanceId, metrics });
  const dispatcher = new Dispatcher({
    workers: client,
    router,
    logger: nullLogger,
    metrics,
    ...options,
  });
  return { dispatcher, router, metrics };
}

function request(options: Partial<DispatchRequest> = {}): DispatchRequest {
  return {
    payload: item('prompt'),
    context: new Context(),
    blockHashes: new BigUint64Array(0),
    blockSize: 16,
    promptTokens: 3,
    ...options,
  };
}

async function textOf(stream: DispatchedStream): Promise<string> {
  const batches: string[] = [];
  for (let batch = await stream.nextBatch(); batch; batch = await stream.nextBatch())
    batches.push(...batch.map((each) => new TextDecoder().decode(each)));
  return batches.join('');
}

describe('Dispatcher', () => {
  it('gives the answer of the chosen worker and the booking back at its end', async () => {
    await using cluster = await TestCluster.start();
    const worker = await cluster.worker(answering('a', 'b'));
    const { dispatcher, router, metrics } = bench(cluster);
    const stream = await dispatcher.dispatch(request());
    expect(stream.instanceId).toBe(worker.id);
    expect(router.inFlight(worker.id)).toBe(1);
    stream.report({ outputTokens: 7 });
    expect(await textOf(stream)).toBe('ab');
    expect(router.activeRequests).toBe(0);
    expect(await metrics.text()).toMatch(/router_output_sequence_tokens_sum\{.*\} 7/);
  });

  it.each(['runtime.closed', 'capacity.worker_overloaded', 'transport.cannot_connect'] as const)(
    'takes another worker when one refuses with %s',
    async (code) => {
      await using cluster = await TestCluster.start();
      const bad = await cluster.worker(refusing(code));
      const good = await cluster.worker(answering('ok'));
      const { dispatcher, router, metrics } = bench(cluster);
      for (let round = 0; round < 4; round += 1) {
        const stream = await dispatcher.dispatch(request());
        expect(stream.instanceId).toBe(good.id);
        expect(await textOf(stream)).toBe('ok');
      }
      expect(router.inFlight(bad.id)).toBe(0);
      expect(router.activeRequests).toBe(0);
      expect(await metrics.text()).toContain(`reason="${code}"`);
    },
  );

  it.each(['transport.disconnected', 'backend.engine_shutdown'] as const)(
    'takes another worker when one breaks with %s before its first token',
    async (code) => {
      await using cluster = await TestCluster.start();
      const gate = new HoldGate();
      await cluster.worker(breakingAt(gate, code));
      const good = await cluster.worker(answering('ok'));
      const { dispatcher, router } = bench(cluster);
      const [first, second] = [dispatcher.dispatch(request()), dispatcher.dispatch(request())];
      await gate.arrivals(1);
      gate.open();
      for (const stream of [await first, await second]) {
        expect(stream.instanceId).toBe(good.id);
        expect(await textOf(stream)).toBe('ok');
      }
      expect(router.activeRequests).toBe(0);
    },
  );

  it('takes another worker when one ends without a token', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(answering());
    await cluster.worker(answering('ok'));
    const { dispatcher } = bench(cluster);
    for (let round = 0; round < 2; round += 1)
      expect(await textOf(await dispatcher.dispatch(request()))).toBe('ok');
  });

  it('makes the spans of all attempts children of the request', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(answering());
    await cluster.worker(answering());
    await cluster.worker(answering('ok'));
    const spans: FinishedSpan[] = [];
    const tracer = new Tracer({ sink: (span) => void spans.push(span) });
    const { dispatcher } = bench(cluster, { tracer });
    const root = tracer.startSpan('root');
    const context = new Context({ headers: injectTraceContext(root.context) });
    for (let round = 0; round < 2; round += 1) {
      const stream = await dispatcher.dispatch(request({ context }));
      expect(await textOf(stream)).toBe('ok');
      expect(context.trace?.spanId).toBe(root.context.spanId);
    }
    expect(spans.length).toBeGreaterThan(2);
    expect(new Set(spans.map(({ parent }) => parent?.spanId))).toEqual(
      new Set([root.context.spanId]),
    );
  });

  it('hands a break after the first token to its caller', async () => {
    await using cluster = await TestCluster.start();
    const gate = new HoldGate();
    await cluster.worker(breakingAt(gate, 'transport.disconnected', 'a'));
    const { dispatcher, router } = bench(cluster);
    const stream = await dispatcher.dispatch(request());
    expect(await stream.nextBatch()).toHaveLength(1);
    gate.open();
    await expect(stream.nextBatch()).rejects.toMatchObject({ code: 'transport.disconnected' });
    expect(router.activeRequests).toBe(0);
  });

  it('says what failed when every worker has failed the request', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(refusing('backend.engine_shutdown'));
    await cluster.worker(refusing('backend.engine_shutdown'));
    const { dispatcher, router } = bench(cluster);
    await expect(dispatcher.dispatch(request())).rejects.toMatchObject({
      code: 'backend.engine_shutdown',
    });
    expect(router.activeRequests).toBe(0);
  });

  it('says that the pool is exhausted when every worker is at capacity', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(refusing('capacity.worker_overloaded'));
    await cluster.worker(refusing('capacity.worker_overloaded'));
    const { dispatcher, router } = bench(cluster);
    for (let round = 0; round < 2; round += 1)
      await expect(dispatcher.dispatch(request())).rejects.toMatchObject({
        code: 'capacity.pool_exhausted',
      });
    expect(router.activeRequests).toBe(0);
  });

  it('says that there is no worker', async () => {
    await using cluster = await TestCluster.start();
    await expect(bench(cluster).dispatcher.dispatch(request())).rejects.toMatchObject({
      code: 'backend.unavailable',
    });
  });

  it('does not retry what the request itself caused', async () => {
    await using cluster = await TestCluster.start();
    const calls = vi.fn();
    for (let count = 0; count < 2; count += 1)
      await cluster.worker(() => {
        calls();
        throw new DynamoError('request.invalid', 'no');
      });
    const { dispatcher, router } = bench(cluster);
    await expect(dispatcher.dispatch(request())).rejects.toMatchObject({ code: 'request.invalid' });
    expect(calls).toHaveBeenCalledTimes(1);
    expect(router.activeRequests).toBe(0);
  });

  it('uses only the pinned worker, and none that is excluded', async () => {
    await using cluster = await TestCluster.start();
    const workers = [
      await cluster.worker(answering('1')),
      await cluster.worker(answering('2')),
      await cluster.worker(refusing('runtime.closed')),
    ];
    const [one, two, three] = workers.map(({ id }) => id) as [InstanceId, InstanceId, InstanceId];
    const { dispatcher } = bench(cluster);
    for (let round = 0; round < 3; round += 1) {
      const pinned = await dispatcher.dispatch(request({ pinned: two }));
      expect(pinned.instanceId).toBe(two);
      pinned.cancel();
      const left = await dispatcher.dispatch(request({ excluded: [two, three] }));
      expect(left.instanceId).toBe(one);
      left.cancel();
    }
    await expect(dispatcher.dispatch(request({ pinned: three }))).rejects.toMatchObject({
      code: 'runtime.closed',
    });
  });

  it('gives the booking back when the client goes before the first token', async () => {
    await using cluster = await TestCluster.start();
    const gate = new HoldGate();
    const killed = vi.fn();
    await cluster.worker(silent(gate, killed));
    const { dispatcher, router } = bench(cluster);
    const context = new Context();
    const dispatching = dispatcher.dispatch(request({ context }));
    await gate.arrivals(1);
    expect(router.activeRequests).toBe(1);
    context.kill();
    await expect(dispatching).rejects.toMatchObject({ code: 'request.cancelled' });
    expect(router.activeRequests).toBe(0);
    await vi.waitFor(() => expect(killed).toHaveBeenCalled());
  });

  it('gives the booking back when the client goes in mid-answer, also when nobody reads on', async () => {
    await using cluster = await TestCluster.start();
    const gate = new HoldGate();
    await cluster.worker(breakingAt(gate, 'backend.error', 'a'));
    const { dispatcher, router } = bench(cluster);
    const context = new Context();
    await dispatcher.dispatch(request({ context }));
    context.kill();
    expect(router.activeRequests).toBe(0);
    gate.open();
  });

  it('gives the booking back once when the answer is cancelled', async () => {
    await using cluster = await TestCluster.start();
    const gate = new HoldGate();
    await cluster.worker(breakingAt(gate, 'backend.error', 'a'));
    const { dispatcher, router } = bench(cluster);
    const free = vi.spyOn(router, 'free');
    const stream = await dispatcher.dispatch(request());
    stream.cancel();
    stream.cancel();
    expect(free).toHaveBeenCalledTimes(1);
    expect(router.activeRequests).toBe(0);
    gate.open();
  });

  it('does not start a request whose client has gone', async () => {
    await using cluster = await TestCluster.start();
    const calls = vi.fn();
    await cluster.worker(calls);
    const { dispatcher, router } = bench(cluster);
    const context = new Context();
    context.kill();
    await expect(dispatcher.dispatch(request({ context }))).rejects.toMatchObject({
      code: 'request.cancelled',
    });
    expect(calls).not.toHaveBeenCalled();
    expect(router.activeRequests).toBe(0);
  });

  it('moves on from a worker that is silent for longer than the limit', async () => {
    await using cluster = await TestCluster.start();
    const gate = new HoldGate();
    const mute = await cluster.worker(silent(gate));
    const good = await cluster.worker(answering('ok'));
    const { dispatcher, router } = bench(cluster, { streamTimeoutMs: 30 });
    for (let round = 0; round < 3; round += 1) {
      const stream = await dispatcher.dispatch(request());
      expect(stream.instanceId).toBe(good.id);
      await textOf(stream);
    }
    expect(cluster.client.routable()).not.toContain(mute.id);
    expect(router.activeRequests).toBe(0);
  });

  it('books the choices of one context apart', async () => {
    await using cluster = await TestCluster.start();
    const gate = new HoldGate();
    const worker = await cluster.worker(breakingAt(gate, 'backend.error', 'a'));
    const { dispatcher, router } = bench(cluster);
    const context = new Context();
    const streams = await Promise.all([1, 2].map(() => dispatcher.dispatch(request({ context }))));
    expect(router.inFlight(worker.id)).toBe(2);
    streams[0]?.cancel();
    expect(router.inFlight(worker.id)).toBe(1);
    streams[1]?.cancel();
    gate.open();
  });

  it('leaks no booking in a storm of refusals, breaks, silence and clients that leave', async () => {
    await using cluster = await TestCluster.start();
    const gate = new HoldGate();
    gate.open();
    const handlers = [
      answering('a', 'b'),
      refusing('capacity.worker_overloaded'),
      breakingAt(gate, 'transport.disconnected'),
      breakingAt(gate, 'backend.engine_shutdown', 'a'),
      silent(new HoldGate()),
    ];
    for (const handler of handlers) await cluster.worker(handler);
    const { dispatcher, router } = bench(cluster);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 300 }, async (_, index) => {
        const context = new Context();
        // A third leaves at once, a third a little later, and whoever meets the silent worker in the end.
        if (index % 3 === 0) context.kill();
        else setTimeout(() => context.kill(), index % 3 === 1 ? index % 7 : 100);
        return textOf(await dispatcher.dispatch(request({ context })));
      }),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(0);
    expect(outcomes.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(100);
    expect(router.activeRequests).toBe(0);
    await vi.waitFor(() => {
      const inFlight = cluster.client.instanceIds().map((id) => cluster.client.inFlight(id));
      expect(inFlight).toEqual(inFlight.map(() => 0));
    });
  });
});
