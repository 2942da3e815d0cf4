import { describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import { FreeRequest, parseEndpointPath, RouteRequest, RouteResponse } from '@dynamo-ts/protocol';
import type { RequestOutcome } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';

import { LocalRouter } from '../local-router.ts';
import type { Placement, PlacementRequest } from '../placement-router.ts';
import { RemoteRouter } from './remote-router.ts';
import type { RemoteRouterOptions } from './remote-router.ts';
import { serveRouterEndpoints } from '../service/router-endpoints.ts';
import { RouterService } from '../service/router-service.ts';
import { TEST_BLOCK_SIZE, noModels, openTestRouter } from '../service/testing-router.ts';
import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';

const idle = (): void => undefined;

interface Replica {
  readonly runtime: DistributedRuntime;
  readonly service: RouterService;
  readonly metrics: MetricsRegistry;
}

async function replica(cluster: TestCluster): Promise<Replica> {
  const runtime = await cluster.runtime();
  const metrics = new MetricsRegistry();
  const service = new RouterService({
    open: openTestRouter(runtime, { metrics, mode: 'round-robin' }),
    follow: noModels,
    blockSize: TEST_BLOCK_SIZE,
    logger: nullLogger,
  });
  await service.prepare(WORKER_ENDPOINT);
  await serveRouterEndpoints(runtime, 'test', service);
  return { runtime, service, metrics };
}

interface Frontend {
  readonly router: RemoteRouter;
  readonly fallback: LocalRouter;
  readonly metrics: MetricsRegistry;
}

async function frontend(
  cluster: TestCluster,
  options: Partial<RemoteRouterOptions> = {},
): Promise<Frontend> {
  const { caller, client } = cluster;
  const metrics = new MetricsRegistry();
  const fallback = new LocalRouter({ instances: client, routerId: caller.instanceId });
  const router = await RemoteRouter.connect({
    runtime: caller,
    namespace: 'test',
    instances: client,
    fallback,
    logger: nullLogger,
    metrics,
    ...options,
  });
  return { router, fallback, metrics };
}

interface StillReplica {
  /** Requests that it was asked to place. */
  readonly asked: string[];
  readonly freed: string[];
  readonly outcomes: (RequestOutcome | undefined)[];
  /** How long a request waits in its queue. */
  holdMs: number;
  /** From now on it answers; until then it takes calls and says nothing. */
  goOn(): void;
}

/** A replica that stands still until it is told to go on. */
async function stillReplica(cluster: TestCluster, instanceId: bigint): Promise<StillReplica> {
  const runtime = await cluster.runtime();
  const awake = Promise.withResolvers<undefined>();
  const still: StillReplica = {
    asked: [],
    freed: [],
    outcomes: [],
    holdMs: 0,
    goOn: () => {
      awake.resolve(undefined);
    },
  };
  const serve = (name: string, answer: (payload: Uint8Array) => Promise<Uint8Array>) =>
    runtime.endpoint(`test.router.${name}`).serveRaw(async ({ payload, context }, sink) => {
      const answered = answer(payload);
      await awake.promise;
      if (context.isKilled()) return;
      sink.write(await answered);
      sink.end();
    });
  await serve('renew', async () => Promise.resolve(new Uint8Array()));
  await serve('free', async (payload) => {
    await awake.promise;
    const { requestId, outcome } = FreeRequest.decode(payload);
    still.freed.push(requestId);
    still.outcomes.push(outcome);
    return new Uint8Array();
  });
  await serve('route', async (payload) => {
    still.asked.push(RouteRequest.decode(payload).requestId);
    await new Promise((resolve) => setTimeout(resolve, still.holdMs));
    return RouteResponse.encode(RouteResponse.create({ instanceId, reason: 'awake' })).finish();
  });
  return still;
}

function placement(options: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    bookingId: 'r1',
    blockHashes: BigUint64Array.of(1n, 2n),
    blockSize: 16,
    promptTokens: 40,
    excluded: new Set(),
    ...options,
  };
}

/** Bookings that a replica holds, read from its metrics as an operator would. */
async function active({ metrics }: Replica): Promise<number> {
  const line = /^dynamo_component_router_active_requests\{[^}]*\} (\d+)$/m.exec(
    await metrics.text(),
  );
  return Number(line?.[1] ?? 0);
}

describe('RemoteRouter', () => {
  it('books at a replica and gives the booking back there', async () => {
    await using cluster = await TestCluster.start();
    const worker = await cluster.worker(idle);
    const one = await replica(cluster);
    const two = await replica(cluster);
    const { router, fallback } = await frontend(cluster);
    const choice = await router.route(placement(), new Context());
    expect(choice).toMatchObject({ instanceId: worker.id, reason: 'only' });
    expect((await active(one)) + (await active(two))).toBe(1);
    router.prefillDone('r1');
    router.free('r1');
    router.free('r1');
    await vi.waitFor(async () => expect((await active(one)) + (await active(two))).toBe(0));
    const texts = (await one.metrics.text()) + (await two.metrics.text());
    expect(texts).toMatch(/time_to_first_token_seconds_count\{[^}]*\} 1/);
    expect(fallback.activeRequests).toBe(0);
    await router.close();
  });

  it('sends hashes, exclusions and what it cannot reach, and no tokens', async () => {
    await using cluster = await TestCluster.start();
    const workers = [
      await cluster.worker(idle),
      await cluster.worker(idle),
      await cluster.worker(idle),
    ];
    const [failed, down, good] = workers.map(({ id }) => id);
    const seen: RouteRequest[] = [];
    const runtime = await cluster.runtime();
    const path = { ...parseEndpointPath(WORKER_ENDPOINT), component: 'router', endpoint: 'route' };
    await runtime
      .endpoint(`${path.namespace}.${path.component}.${path.endpoint}`)
      .serveRaw(({ payload }, sink) => {
        seen.push(RouteRequest.decode(payload));
        sink.write(RouteResponse.encode(RouteResponse.create({ instanceId: good ?? 0n })).finish());
        sink.end();
      });
    cluster.client.reportDown(down ?? asInstanceId(0n));
    const { router } = await frontend(cluster);
    await router.route(
      placement({ excluded: new Set([failed ?? asInstanceId(0n)]) }),
      new Context(),
    );
    expect(seen).toMatchObject([
      {
        requestId: 'r1',
        endpoint: WORKER_ENDPOINT,
        promptTokens: 40,
        excludedInstanceIds: [failed, down],
      },
    ]);
    expect(seen[0]?.blockHashesLe.byteLength).toBe(16);
    await router.close();
  });

  it('asks the next replica when one has died, and places by itself when all have', async () => {
    await using cluster = await TestCluster.start();
    const worker = await cluster.worker(idle);
    const one = await replica(cluster);
    const two = await replica(cluster);
    const { router, fallback, metrics } = await frontend(cluster);
    await one.runtime.close();
    for (const bookingId of ['a', 'b', 'c']) {
      const choice = await router.route(placement({ bookingId }), new Context());
      expect(choice).toMatchObject({ instanceId: worker.id, reason: 'only' });
    }
    expect(await active(two)).toBe(3);
    await two.runtime.close();
    const choice = await router.route(placement({ bookingId: 'd' }), new Context());
    expect(choice).toMatchObject({ instanceId: worker.id, reason: 'fallback least-loaded' });
    expect(await metrics.text()).toMatch(/placement_fallback_total\{[^}]*\} 1/);
    expect(fallback.inFlight(worker.id)).toBe(1);
    for (const bookingId of ['a', 'b', 'c', 'd']) router.free(bookingId);
    expect(fallback.activeRequests).toBe(0);
    await router.close();
  });

  it('asks a replica that stands still once, and returns to it with what it missed', async () => {
    await using cluster = await TestCluster.start();
    const worker = await cluster.worker(idle);
    const still = await stillReplica(cluster, worker.id);
    const { router, metrics } = await frontend(cluster, { timeoutMs: 50 });
    const route = (bookingId: string): Promise<Placement> =>
      router.route(placement({ bookingId }), new Context());
    const first = await Promise.all(['a', 'b', 'c'].map(route));
    for (const choice of first)
      expect(choice).toMatchObject({ instanceId: worker.id, reason: 'fallback least-loaded' });
    expect(still.asked).toEqual(['a', 'b', 'c']);
    for (let at = 0; at < 20; at += 1) await route(`later ${at}`);
    expect(still.asked).toEqual(['a', 'b', 'c']);
    expect(await metrics.text()).toMatch(/placement_fallback_total\{[^}]*\} 23/);
    still.goOn();
    // What it may have booked before it fell silent.
    await vi.waitFor(() => expect(still.freed.toSorted()).toEqual(['a', 'b', 'c']));
    expect(await route('back')).toMatchObject({ reason: 'awake' });
    await router.close();
  });

  it('waits for a replica that lets a request queue, and sends it the outcome', async () => {
    await using cluster = await TestCluster.start();
    const worker = await cluster.worker(idle);
    const queueing = await stillReplica(cluster, worker.id);
    queueing.goOn();
    const { router } = await frontend(cluster, { timeoutMs: 20 });
    queueing.holdMs = 200;
    const choice = await router.route(placement(), new Context());
    expect(choice).toMatchObject({ instanceId: worker.id, reason: 'awake' });
    router.free('r1', { kind: 'completed', cachedTokens: 16 });
    await vi.waitFor(() =>
      expect(queueing.outcomes).toMatchObject([{ kind: 'completed', cachedTokens: 16 }]),
    );
    await router.close();
  });

  it('keeps its bookings alive at the replica as long as it lives itself', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(idle);
    const one = await replica(cluster);
    const { router } = await frontend(cluster, { leaseMs: 400 });
    await router.route(placement(), new Context());
    const startedMs = performance.now();
    await vi.waitFor(() => expect(performance.now() - startedMs).toBeGreaterThan(2500), 5000);
    expect(await active(one)).toBe(1);
    await router.close();
    await vi.waitFor(async () => expect(await active(one)).toBe(0), 5000);
  });

  it('ends at once when the client goes, and takes back what may have been booked', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(idle);
    const mute = await cluster.runtime();
    const asked = vi.fn();
    const freed = vi.fn();
    await mute.endpoint('test.router.route').serveRaw(asked);
    await mute.endpoint('test.router.free').serveRaw((_request, sink) => {
      freed();
      sink.end();
    });
    const { router } = await frontend(cluster, { timeoutMs: 60_000 });
    const context = new Context();
    const routing = router.route(placement(), context);
    await vi.waitFor(() => expect(asked).toHaveBeenCalled());
    context.kill();
    await expect(routing).rejects.toMatchObject({ code: 'request.cancelled' });
    // The replica may have booked it already.
    await vi.waitFor(() => expect(freed).toHaveBeenCalledTimes(1));
    await router.close();
  });

  it('says that there is no worker when no router and not this process sees one', async () => {
    await using cluster = await TestCluster.start();
    await replica(cluster);
    const { router } = await frontend(cluster);
    await expect(router.route(placement(), new Context())).rejects.toMatchObject({
      code: 'backend.unavailable',
    });
    await router.close();
  });
});
