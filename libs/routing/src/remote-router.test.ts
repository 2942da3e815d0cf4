import { describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import { parseEndpointPath, RouteRequest, RouteResponse } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';

import { LocalRouter } from './local-router.ts';
import type { PlacementRequest } from './placement-router.ts';
import { RemoteRouter } from './remote-router.ts';
import type { RemoteRouterOptions } from './remote-router.ts';
import { serveRouterEndpoints } from './router-endpoints.ts';
import { RouterService } from './router-service.ts';
import { TestCluster, WORKER_ENDPOINT } from './testing-cluster.ts';

const idle = (): void => undefined;

interface Replica {
  readonly runtime: DistributedRuntime;
  readonly service: RouterService;
  readonly metrics: MetricsRegistry;
}

async function replica(cluster: TestCluster): Promise<Replica> {
  const runtime = await cluster.runtime();
  const metrics = new MetricsRegistry();
  const service = new RouterService({ runtime, metrics, logger: nullLogger });
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
    expect(choice).toMatchObject({ instanceId: worker.id, reason: 'round-robin' });
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
      expect(choice).toMatchObject({ instanceId: worker.id, reason: 'round-robin' });
    }
    expect(await active(two)).toBe(3);
    await two.runtime.close();
    const choice = await router.route(placement({ bookingId: 'd' }), new Context());
    expect(choice).toMatchObject({ instanceId: worker.id, reason: 'fallback round-robin' });
    expect(await metrics.text()).toMatch(/placement_fallback_total\{[^}]*\} 1/);
    expect(fallback.inFlight(worker.id)).toBe(1);
    for (const bookingId of ['a', 'b', 'c', 'd']) router.free(bookingId);
    expect(fallback.activeRequests).toBe(0);
    await router.close();
  });

  it('does not wait for a replica that is silent, and takes back what it may have booked', async () => {
    await using cluster = await TestCluster.start();
    const worker = await cluster.worker(idle);
    const mute = await cluster.runtime();
    const freed = vi.fn();
    await mute.endpoint('test.router.route').serveRaw(() => undefined);
    await mute.endpoint('test.router.free').serveRaw((_request, sink) => {
      freed();
      sink.write(new Uint8Array(0));
      sink.end();
    });
    const { router } = await frontend(cluster, { timeoutMs: 20 });
    const choice = await router.route(placement(), new Context());
    expect(choice).toMatchObject({ instanceId: worker.id, reason: 'fallback round-robin' });
    await vi.waitFor(() => expect(freed).toHaveBeenCalledTimes(1));
    await router.close();
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

describe('RouterService', () => {
  it('refuses an endpoint or a mode that cannot be, and the mode that is not offered yet', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(idle);
    const { service } = await replica(cluster);
    const ask = (request: Partial<RouteRequest>): Promise<RouteResponse> =>
      service.route(
        RouteRequest.create({ requestId: 'r', endpoint: WORKER_ENDPOINT, ...request }),
        new Context(),
      );
    await expect(ask({ endpoint: 'nonsense' })).rejects.toMatchObject({ code: 'request.invalid' });
    await expect(ask({ routerMode: 'best' })).rejects.toMatchObject({ code: 'request.invalid' });
    await expect(ask({ routerMode: 'kv' })).rejects.toMatchObject({
      code: 'request.invalid',
      message: expect.stringContaining('kv is not offered') as string,
    });
    await expect(ask({ routerMode: 'direct' })).rejects.toMatchObject({ code: 'request.invalid' });
  });

  it('answers without booking when only advice is wanted', async () => {
    await using cluster = await TestCluster.start();
    const worker = await cluster.worker(idle);
    const one = await replica(cluster);
    const request = RouteRequest.create({
      requestId: 'r',
      endpoint: WORKER_ENDPOINT,
      advisory: true,
    });
    const answer = await one.service.route(request, new Context());
    expect(answer.instanceId).toBe(worker.id);
    expect(await active(one)).toBe(0);
  });

  it('spreads by load: a long request keeps its worker out of the least-loaded choice', async () => {
    await using cluster = await TestCluster.start();
    const workers = [await cluster.worker(idle), await cluster.worker(idle)];
    const { service } = await replica(cluster);
    const route = async (requestId: string): Promise<bigint> => {
      const request = { requestId, endpoint: WORKER_ENDPOINT, routerMode: 'least-loaded' };
      return (await service.route(RouteRequest.create(request), new Context())).instanceId;
    };
    const long = await route('long');
    const other = workers.find(({ id }) => id !== long)?.id;
    for (let round = 0; round < 5; round += 1) {
      expect(await route(`short ${round}`)).toBe(other);
      await service.free({ requestId: `short ${round}`, endpoint: WORKER_ENDPOINT });
    }
  });
});
