/** The queue, busy thresholds and a router with a real core together. */
import { describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import { parseEndpointPath } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

import { BusyMonitor } from '../busy/busy-monitor.ts';
import { BusyThresholds } from '../busy/busy-thresholds.ts';
import type { KvRouterOptions } from '../kv/kv-router-parts.ts';
import { KvRouter } from '../kv/kv-router.ts';
import { TEST_BLOCK_SIZE, TestKvWorker, testPrompt } from '../kv/testing-kv-worker.ts';
import type { PlacementRequest } from '../placement-router.ts';
import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';
import { defaultProfile } from './policy-profile.ts';
import { SchedulerQueue } from './scheduler-queue.ts';

/** Prompts of 320 tokens; workers compute 8192 at once, and are busy above 400. */
const THRESHOLD_FRAC = 400 / 8192;

const models = ['m'];
let last = 0;

function request(fields: Partial<PlacementRequest> = {}): PlacementRequest {
  last += 1;
  const { local, tokenIds } = testPrompt(last, 20);
  return {
    bookingId: `r${last}`,
    blockHashes: local,
    blockSize: TEST_BLOCK_SIZE,
    promptTokens: tokenIds.length,
    excluded: new Set(),
    ...fields,
  };
}

async function openRouter(
  cluster: TestCluster,
  options: Partial<KvRouterOptions> = {},
): Promise<KvRouter> {
  return KvRouter.connect({
    runtime: cluster.caller,
    path: parseEndpointPath(WORKER_ENDPOINT),
    blockSize: TEST_BLOCK_SIZE,
    settings: { useKvEvents: false },
    logger: nullLogger,
    seed: 1n,
    createQueue: ({ host }) =>
      new SchedulerQueue({
        host,
        profile: defaultProfile({ thresholdFrac: THRESHOLD_FRAC }),
        model: 'm',
        logger: nullLogger,
      }),
    ...options,
  });
}

const route = (
  router: KvRouter,
  fields: Partial<PlacementRequest> = {},
  context = new Context(),
) => {
  const wanted = request(fields);
  const placing = router.route(wanted, context);
  placing.catch(() => undefined);
  return { id: wanted.bookingId, placing };
};

describe('a router with a queue', () => {
  it('holds requests while all workers compute prompts, and places them as first tokens come', async () => {
    await using cluster = await TestCluster.start();
    for (let count = 0; count < 2; count++) await TestKvWorker.start(cluster, { kvEvents: false });
    await using router = await openRouter(cluster);
    const running = Array.from({ length: 4 }, () => route(router));
    for (const { placing } of running) await placing;
    const waiting = Array.from({ length: 3 }, () => route(router));
    expect(router.queueStats()).toEqual({ pendingCount: 3, pendingIslTokens: 960 });
    expect(router.activeRequests).toBe(4);
    router.prefillDone(running[0]?.id ?? '');
    await waiting[0]?.placing;
    expect(router.queueStats().pendingCount).toBe(2);
    for (const { id } of running) router.free(id);
    const placed = await Promise.all(waiting.map(({ placing }) => placing));
    expect(placed.every(({ queuedMs }) => queuedMs > 0)).toBe(true);
  });

  it('lets a client that leaves out of the queue without a booking', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, { kvEvents: false });
    await using router = await openRouter(cluster);
    const running = [route(router), route(router)];
    for (const { placing } of running) await placing;
    const context = new Context();
    const { placing } = route(router, {}, context);
    context.kill('client-gone');
    await expect(placing).rejects.toMatchObject({ code: 'request.cancelled' });
    for (const { id } of running) router.free(id);
    await vi.waitFor(() => {
      expect(router.ranks()).toMatchObject([{ activeRequests: 0, prefillTokens: 0 }]);
    });
    expect(router.activeRequests).toBe(0);
  });

  it('places on a worker that comes', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, { kvEvents: false });
    await using router = await openRouter(cluster);
    for (const { placing } of [route(router), route(router)]) await placing;
    const { placing } = route(router);
    const second = await TestKvWorker.start(cluster, { kvEvents: false });
    await expect(placing).resolves.toMatchObject({ instanceId: second.id });
  });

  it('does not count an idle worker that is out of order as room', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, { kvEvents: false });
    const broken = await TestKvWorker.start(cluster, { kvEvents: false });
    await using router = await openRouter(cluster);
    cluster.client.reportOverloaded(broken.id);
    for (const { placing } of [route(router), route(router)]) await placing;
    route(router);
    expect(router.queueStats().pendingCount).toBe(1);
  });

  it('refuses at the door when busy thresholds say that nobody has room', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, { kvEvents: false });
    const thresholds = new BusyThresholds({ defaults: { activePrefillTokensThreshold: 500 } });
    await using router = await openRouter(cluster, withBusy(cluster, thresholds));
    const running = [route(router), route(router)];
    for (const { placing } of running) await placing;
    await vi.waitFor(async () => {
      await expect(route(router).placing).rejects.toMatchObject({
        code: 'capacity.pool_exhausted',
      });
    });
    thresholds.set('m', { activePrefillTokensThreshold: 5000 });
    await expect(route(router).placing).resolves.toMatchObject({ dpRank: 0 });
    for (const { id } of running) router.free(id);
  });

  it('knows the limits of engines that were added, also of one that was replaced while it was busy', async () => {
    await using cluster = await TestCluster.start();
    const thresholds = new BusyThresholds({ defaults: { activePrefillTokensThresholdFrac: 0.1 } });
    await using router = await openRouter(cluster, withBusy(cluster, thresholds));
    const limits = { dpStart: 0, dpSize: 1, totalKvBlocks: 100, maxBatchedTokens: 1000 };
    const engine = { workerId: asInstanceId(77n), ...limits, kvEvents: false, taints: [] };
    for (let replaced = 0; replaced < 2; replaced++) {
      router.addWorker(engine);
      await route(router).placing;
      await vi.waitFor(async () => {
        await expect(route(router).placing).rejects.toMatchObject({
          code: 'capacity.pool_exhausted',
        });
      });
      router.removeWorker(engine.workerId);
    }
  });
});

/** Busy ranks are left out, and nobody waits. */
function withBusy(cluster: TestCluster, thresholds: BusyThresholds): Partial<KvRouterOptions> {
  return {
    createQueue: undefined,
    createBusy: ({ core, facts, path }) =>
      new BusyMonitor({
        thresholds,
        models: () => models,
        modelsOf: () => models,
        limitsOf: (id) => facts.get(id),
        core,
        path,
        events: cluster.caller.events,
        logger: nullLogger,
      }),
  };
}
