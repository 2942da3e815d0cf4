import { FreeRequest, RenewRequest, RouteRequest, WorkerOverlap } from '@dynamo-ts/protocol';
import type { RouteResponse } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it, vi } from 'vitest';

import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';
import { overlapMessages } from './rank-messages.ts';
import { placementRequest } from './route-message.ts';
import { RouterService } from './router-service.ts';
import { TEST_BLOCK_SIZE, noModels, openTestRouter } from './testing-router.ts';

const idle = (): void => undefined;

interface Router {
  readonly service: RouterService;
  readonly route: (request?: Partial<RouteRequest>, context?: Context) => Promise<RouteResponse>;
  readonly active: () => Promise<number>;
  readonly metrics: MetricsRegistry;
}

async function router(cluster: TestCluster, leaseMs?: number): Promise<Router> {
  const runtime = await cluster.runtime();
  const metrics = new MetricsRegistry();
  const service = new RouterService({
    open: openTestRouter(runtime, { metrics, mode: 'round-robin' }),
    follow: noModels,
    blockSize: TEST_BLOCK_SIZE,
    leaseMs,
    logger: nullLogger,
  });
  await service.prepare(WORKER_ENDPOINT);
  return {
    service,
    metrics,
    route: (request, context = new Context()) =>
      service.route(
        RouteRequest.create({ requestId: 'r', endpoint: WORKER_ENDPOINT, ...request }),
        { context },
      ),
    active: async () => {
      const text = await metrics.text();
      const line = /^dynamo_component_router_active_requests\{[^}]*\} (\d+)$/m.exec(text);
      return Number(line?.[1] ?? 0);
    },
  };
}

const freeing = (requestId: string): FreeRequest =>
  FreeRequest.create({ requestId, endpoint: WORKER_ENDPOINT });

describe('RouterService', () => {
  it('refuses what cannot be: endpoints, modes, weights, torn arrays, bookings without a name', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(idle);
    const { route } = await router(cluster);
    const refused: Partial<RouteRequest>[] = [
      { endpoint: 'nonsense' },
      { endpoint: `dyn://${WORKER_ENDPOINT}` },
      { routerMode: 'best' },
      { routerMode: 'direct' },
      { requestId: '' },
      { blockHashesLe: Buffer.alloc(12) },
      { tokenIdsLe: Buffer.alloc(3) },
      { priorityJump: Number.NaN },
      { preferredTaints: [{ taint: 'a', weight: Number.NaN }] },
      { routerConfigOverride: { routerTemperature: -1 } },
      { routerConfigOverride: { overlapScoreCredit: Number.POSITIVE_INFINITY } },
    ];
    for (const request of refused)
      await expect(route(request), JSON.stringify(request)).rejects.toMatchObject({
        code: 'request.invalid',
      });
    await expect(
      route({ routerConfigOverride: { routerTemperature: 0.5 } }),
    ).resolves.toBeDefined();
  });

  it('answers without booking when only advice is wanted', async () => {
    await using cluster = await TestCluster.start();
    const worker = await cluster.worker(idle);
    const { route, active } = await router(cluster);
    expect((await route({ advisory: true, requestId: '' })).instanceId).toBe(worker.id);
    expect(await active()).toBe(0);
  });

  it('hashes what comes as tokens, and measures that', async () => {
    const tokenIdsLe = Buffer.alloc(4 * TEST_BLOCK_SIZE * 3);
    const request = RouteRequest.create({ requestId: 'r', endpoint: WORKER_ENDPOINT, tokenIdsLe });
    const { blockHashes, hashingMs } = placementRequest(request, TEST_BLOCK_SIZE);
    expect(blockHashes).toHaveLength(3);
    expect(hashingMs).toBeGreaterThan(0);
    await using cluster = await TestCluster.start();
    await cluster.worker(idle);
    const { route, metrics } = await router(cluster);
    const hashed = async (): Promise<boolean> =>
      /^dynamo_router_overhead_block_hashing_ms_count\{[^}]*\} 1$/m.test(await metrics.text());
    await route({ requestId: 'hashed', blockHashesLe: Buffer.alloc(8) });
    expect(await hashed()).toBe(false);
    await route({ requestId: 'tokens', tokenIdsLe });
    expect(await hashed()).toBe(true);
  });

  it('spreads by load: a long request keeps its worker out of the least-loaded choice', async () => {
    await using cluster = await TestCluster.start();
    const workers = [await cluster.worker(idle), await cluster.worker(idle)];
    const { route, service } = await router(cluster);
    const long = (await route({ requestId: 'long', routerMode: 'least-loaded' })).instanceId;
    const other = workers.find(({ id }) => id !== long)?.id;
    for (let round = 0; round < 5; round += 1) {
      const requestId = `short ${round}`;
      const { instanceId } = await route({ requestId, routerMode: 'least-loaded' });
      expect(instanceId).toBe(other);
      service.free(freeing(requestId));
    }
  });

  it('books a request once, however often it is routed', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(idle);
    await cluster.worker(idle);
    const { route, active, service } = await router(cluster);
    await route();
    await route();
    await Promise.allSettled([route(), route(), route()]);
    expect(await active()).toBe(1);
    expect(service.leasedBookings).toBe(1);
    service.free(freeing('r'));
    service.free(freeing('r'));
    expect(await active()).toBe(0);
  });

  it('keeps nothing for a caller that left before its answer', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(idle);
    const { route, active, service } = await router(cluster);
    const context = new Context();
    const routing = route({}, context);
    context.kill();
    await expect(routing).rejects.toMatchObject({ code: 'request.cancelled' });
    const freed = route({ requestId: 'freed' });
    service.free(freeing('freed'));
    await freed.catch(() => undefined);
    service.free(freeing('freed'));
    expect(await active()).toBe(0);
    expect(service.leasedBookings).toBe(0);
  });

  it('gives the booking of a silent caller back, and keeps the renewed one', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(idle);
    const { route, active, service } = await router(cluster, 300);
    await route({ requestId: 'silent' });
    await route({ requestId: 'alive' });
    await route({ requestId: 'owned', ownerId: 'frontend' });
    const renewing = setInterval(() => {
      const request = { endpoint: WORKER_ENDPOINT, ownerId: 'frontend', requestIds: ['alive'] };
      service.renew(RenewRequest.create(request));
    }, 50);
    await vi.waitFor(async () => expect(await active()).toBe(2), { timeout: 5000 });
    expect(service.leasedBookings).toBe(2);
    clearInterval(renewing);
    await vi.waitFor(async () => expect(await active()).toBe(0), { timeout: 5000 });
  });

  it('says that a decision is not here', async () => {
    await using cluster = await TestCluster.start();
    const { service } = await router(cluster);
    expect(() => service.getDecision({ decisionId: 'x-1' })).toThrow(/x-1 is not here/);
    expect(() => service.getDecision({ decisionId: '' })).toThrow('decision_id is empty');
    expect(service.listDecisions({ endpoint: '', limit: 0 }).decisions).toEqual([]);
  });
});

describe('overlapMessages', () => {
  it('gives each rank its three tiers', () => {
    const messages = overlapMessages({
      workerIds: BigUint64Array.of(5n, 9n),
      dpRanks: Uint32Array.of(0, 1),
      blocks: Uint32Array.of(3, 2, 1, 6, 5, 4),
    });
    expect(messages).toEqual([
      WorkerOverlap.create({ workerId: 5n, deviceBlocks: 3, hostBlocks: 2, diskBlocks: 1 }),
      WorkerOverlap.create({
        workerId: 9n,
        dpRank: 1,
        deviceBlocks: 6,
        hostBlocks: 5,
        diskBlocks: 4,
      }),
    ]);
  });
});
