import { describe, expect, it, vi } from 'vitest';

import { PUBLIC_MESSAGE, asInstanceId } from '@dynamo-ts/base';
import { parseEndpointPath } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

import type { PlacementRequest } from '../placement-router.ts';
import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';
import type { KvRouterOptions } from './kv-router-parts.ts';
import { KvRouter } from './kv-router.ts';
import { TEST_BLOCK_SIZE, TestKvWorker, testPrompt } from './testing-kv-worker.ts';

function openRouter(
  cluster: TestCluster,
  options: Partial<KvRouterOptions> = {},
): Promise<KvRouter> {
  return KvRouter.connect({
    runtime: cluster.caller,
    path: parseEndpointPath(WORKER_ENDPOINT),
    blockSize: TEST_BLOCK_SIZE,
    logger: nullLogger,
    seed: 1n,
    ...options,
  });
}

let lastId = 0;

function request(seed: number, fields: Partial<PlacementRequest> = {}): PlacementRequest {
  const { local, tokenIds } = testPrompt(seed, 20);
  lastId += 1;
  return {
    bookingId: `request-${lastId}`,
    blockHashes: local,
    blockSize: TEST_BLOCK_SIZE,
    promptTokens: tokenIds.length,
    excluded: new Set(),
    ...fields,
  };
}

const approximate = { useKvEvents: false };
const plain = { kvEvents: false };

describe('KvRouter', () => {
  it('sends a prompt to where it was before, and says what is cached there', async () => {
    await using cluster = await TestCluster.start();
    for (let count = 0; count < 4; count++) await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    const booked = request(1);
    const first = await router.route(booked, new Context());
    expect(first).toMatchObject({ dpRank: 0, overlapBlocks: 0, cachedTokens: 0, queuedMs: 0 });
    router.prefillDone(booked.bookingId);
    router.free(booked.bookingId);
    const second = await router.route(request(1), new Context());
    expect(second.instanceId).toBe(first.instanceId);
    expect(second).toMatchObject({ overlapBlocks: 20, cachedTokens: 320 });
  });

  it('spreads prompts that share nothing', async () => {
    await using cluster = await TestCluster.start();
    for (let count = 0; count < 4; count++) await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    const chosen = new Set<bigint>();
    for (let seed = 1; seed <= 4; seed++)
      chosen.add((await router.route(request(seed), new Context())).instanceId);
    expect(chosen.size).toBe(4);
    expect(router.activeRequests).toBe(4);
  });

  it('counts a request until it is freed, and its prompt until its first token', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    const booked = request(1);
    await router.route(booked, new Context());
    expect(router.ranks()).toMatchObject([{ prefillTokens: 320, activeRequests: 1 }]);
    router.prefillDone(booked.bookingId);
    expect(router.ranks()).toMatchObject([{ prefillTokens: 0, activeRequests: 1 }]);
    router.free(booked.bookingId);
    router.free(booked.bookingId);
    expect(router.ranks()).toMatchObject([{ prefillTokens: 0, activeRequests: 0 }]);
    expect(router.activeRequests).toBe(0);
  });

  it('books nothing for a request that only asks', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    await router.route(request(1, { advisory: true }), new Context());
    expect(router.activeRequests).toBe(0);
    expect(router.ranks()).toMatchObject([{ activeRequests: 0 }]);
  });

  it('gives back what an owner booked when that is gone', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    const owner = {};
    await router.route(request(1, { owner }), new Context());
    await router.route(request(2), new Context());
    router.freeOwned(owner);
    expect(router.activeRequests).toBe(1);
  });

  it('leaves out workers that failed the request or cannot be reached', async () => {
    await using cluster = await TestCluster.start();
    const a = await TestKvWorker.start(cluster, plain);
    const b = await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    const without = (id: typeof a.id) => request(1, { excluded: new Set([id]) });
    expect((await router.route(without(a.id), new Context())).instanceId).toBe(b.id);
    cluster.client.reportDown(a.id);
    expect((await router.route(request(2), new Context())).instanceId).toBe(b.id);
    expect((await router.route(request(3), new Context())).instanceId).toBe(b.id);
  });

  it('says whether there is no worker or none with room', async () => {
    await using cluster = await TestCluster.start();
    await using router = await openRouter(cluster, { settings: approximate });
    const routed = () => router.route(request(1), new Context());
    await expect(routed()).rejects.toMatchObject({ code: 'backend.unavailable' });
    const worker = await TestKvWorker.start(cluster, plain);
    cluster.client.reportOverloaded(worker.id);
    await expect(routed()).rejects.toMatchObject({ code: 'capacity.pool_exhausted' });
    cluster.client.reportFree(worker.id);
    expect((await routed()).instanceId).toBe(worker.id);
  });

  it('takes the pinned worker and rank or none', async () => {
    await using cluster = await TestCluster.start();
    const worker = await TestKvWorker.start(cluster, { ...plain, dpSize: 2 });
    await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    const pinned = request(1, { pinned: worker.id, pinnedRank: 1, mode: 'direct' });
    expect(await router.route(pinned, new Context())).toMatchObject({
      instanceId: worker.id,
      dpRank: 1,
    });
    for (const wrong of [{ pinned: asInstanceId(99n) }, { pinned: worker.id, pinnedRank: 2 }])
      await expect(router.route(request(1, wrong), new Context())).rejects.toMatchObject({
        code: 'backend.unavailable',
        details: PUBLIC_MESSAGE,
      });
    await expect(router.route(request(1, { mode: 'direct' }), new Context())).rejects.toMatchObject(
      { code: 'request.invalid' },
    );
  });

  it('refuses weights that make no sense', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    for (const overrides of [{ routerTemperature: -1 }, { prefillLoadScale: Number.NaN }])
      await expect(router.route(request(1, { overrides }), new Context())).rejects.toMatchObject({
        code: 'request.invalid',
      });
  });

  it('keeps to allowed workers and required taints', async () => {
    await using cluster = await TestCluster.start();
    const plainWorker = await TestKvWorker.start(cluster, plain);
    const tainted = await TestKvWorker.start(cluster, { ...plain, taints: ['zone=a'] });
    await using router = await openRouter(cluster, { settings: approximate });
    await vi.waitFor(() =>
      expect(router.ranks().some(({ taints }) => taints.includes('zone=a'))).toBe(true),
    );
    const zone = request(1, { requiredTaints: ['zone=a'] });
    expect((await router.route(zone, new Context())).instanceId).toBe(tainted.id);
    const allowed = request(1, { allowed: new Set([plainWorker.id]) });
    expect((await router.route(allowed, new Context())).instanceId).toBe(plainWorker.id);
    await expect(
      router.route(request(1, { requiredTaints: ['zone=b'] }), new Context()),
    ).rejects.toMatchObject({ code: 'backend.unavailable', details: PUBLIC_MESSAGE });
  });

  it('refuses a request that was stopped', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    const context = new Context();
    context.kill();
    await expect(router.route(request(1), context)).rejects.toMatchObject({
      code: 'request.cancelled',
    });
    expect(router.activeRequests).toBe(0);
  });

  it('chooses a worker that leaves no more; what it runs ends with its outcome', async () => {
    await using cluster = await TestCluster.start();
    const worker = await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    const running = request(1);
    const { decisionId = '' } = await router.route(running, new Context());
    await worker.runtime.close();
    await vi.waitFor(() => expect(router.ranks()).toEqual([]));
    expect(router.activeRequests).toBe(1);
    await expect(router.route(request(2), new Context())).rejects.toThrow(/no instance/);
    const { bookingId } = running;
    router.prefillDone(bookingId);
    router.free(bookingId, { kind: 'completed', outputTokens: 9, ttftMs: 50 });
    expect(router.activeRequests).toBe(0);
    expect(router.decision(decisionId)?.outcome).toMatchObject({ kind: 'completed', ttftMs: 50 });
  });

  it('records each decision, with its outcome once the request has ended', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, plain);
    await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate });
    const made: string[] = [];
    const ended: string[] = [];
    router.onDecision(({ decisionId }) => made.push(decisionId), { immediately: true });
    const off = router.onDecision(({ decisionId }) => ended.push(decisionId));
    const booked = request(1);
    const { decisionId = '', instanceId } = await router.route(booked, new Context());
    expect(made).toEqual([decisionId]);
    expect(ended).toEqual([]);
    const outcome = { kind: 'completed', cachedTokens: 16, outputTokens: 5, ttftMs: 9 } as const;
    router.free(booked.bookingId, outcome);
    expect(ended).toEqual([decisionId]);
    const decision = router.decision(decisionId);
    expect(decision).toMatchObject({ requestId: booked.bookingId, islTokens: 320, outcome });
    expect(decision?.candidates).toHaveLength(2);
    expect(decision?.candidates[decision.chosen]?.workerId).toBe(instanceId);
    expect(router.recentDecisions(5)).toEqual([decision]);
    expect(router.decision('unknown')).toBeUndefined();
    off();
    await router.route(request(2), new Context());
    expect(ended).toEqual([decisionId]);
  });

  it('names no decision as another router of the process does', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, plain);
    await using one = await openRouter(cluster, { settings: approximate });
    await using other = await openRouter(cluster, { settings: approximate });
    const { decisionId = '' } = await one.route(request(1), new Context());
    await other.route(request(2), new Context());
    expect(one.decision(decisionId)).toMatchObject({ decisionId });
    expect(other.decision(decisionId)).toBeUndefined();
  });

  it('ignores what is said of requests after its end', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster, plain);
    const settings = { ...approximate, trackOutputBlocks: true };
    const router = await openRouter(cluster, { settings });
    const booked = request(1);
    await router.route(booked, new Context());
    await router.close();
    router.outputBlock(booked.bookingId);
    router.prefillDone(booked.bookingId);
    router.free(booked.bookingId, { kind: 'completed' });
    await expect(router.route(request(2), new Context())).rejects.toMatchObject({
      code: 'runtime.closed',
    });
  });

  it('takes engines that register nowhere', async () => {
    await using cluster = await TestCluster.start();
    await using router = await openRouter(cluster, { settings: approximate });
    const workerId = asInstanceId(77n);
    const limits = { dpStart: 0, dpSize: 1, totalKvBlocks: 0, maxBatchedTokens: 0, taints: [] };
    router.addWorker({ workerId, ...limits, kvEvents: false });
    expect((await router.route(request(1), new Context())).instanceId).toBe(workerId);
    router.removeWorker(workerId);
    await expect(router.route(request(1), new Context())).rejects.toMatchObject({
      code: 'backend.unavailable',
    });
  });

  it('works in the other modes, with the same books', async () => {
    await using cluster = await TestCluster.start();
    for (let count = 0; count < 3; count++) await TestKvWorker.start(cluster, plain);
    await using router = await openRouter(cluster, { settings: approximate, mode: 'round-robin' });
    const chosen: bigint[] = [];
    for (let count = 0; count < 6; count++)
      chosen.push((await router.route(request(1), new Context())).instanceId);
    expect(new Set(chosen.slice(0, 3)).size).toBe(3);
    expect(chosen.slice(3)).toEqual(chosen.slice(0, 3));
    for (const mode of ['random', 'power-of-two', 'least-loaded'] as const)
      expect(await router.route(request(1, { mode }), new Context())).toMatchObject({ dpRank: 0 });
    expect(router.ranks().reduce((sum, rank) => sum + rank.activeRequests, 0)).toBe(9);
  });
});
