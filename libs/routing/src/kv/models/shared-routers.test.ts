import { describe, expect, it, vi } from 'vitest';

import { parseEndpointPath } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';

import type { PlacementRequest } from '../../placement-router.ts';
import { TestCluster, WORKER_ENDPOINT } from '../../testing-cluster.ts';
import { KvRouterFactory } from '../kv-router-factory.ts';
import type { ModelRouter } from './model-router.ts';
import { TEST_ROUTER_CONFIG } from '../testing-config.ts';
import { TEST_BLOCK_SIZE, TestKvWorker, testPrompt } from '../testing-kv-worker.ts';

const path = parseEndpointPath(WORKER_ENDPOINT);
const poolOf = (model: string, blockSize = TEST_BLOCK_SIZE) => ({ path, blockSize, model });
const MEMORY = 'dynamo_component_router_kv_memory_bytes{';
const BLOCKS = 'dynamo_component_router_kv_index_blocks{';

function factoryOf(cluster: TestCluster, metrics?: MetricsRegistry): KvRouterFactory {
  return KvRouterFactory.create({
    config: {
      ...TEST_ROUTER_CONFIG,
      routerMinInitialWorkers: 1,
      routerQueueThreshold: 1,
      routerSessionAffinityTtlMs: 60_000,
    },
    runtime: cluster.caller,
    logger: nullLogger,
    metrics,
  });
}

let last = 0;

async function route(
  router: ModelRouter,
  fields: Partial<PlacementRequest> = {},
): Promise<{ readonly id: string; readonly instanceId: bigint; readonly cachedTokens: number }> {
  const { local, tokenIds } = testPrompt(7, 20);
  const id = `r${(last += 1)}`;
  const request = {
    bookingId: id,
    blockHashes: local,
    blockSize: TEST_BLOCK_SIZE,
    promptTokens: tokenIds.length,
    excluded: new Set<never>(),
    ...fields,
  };
  const { instanceId, cachedTokens } = await router.route(request, new Context());
  return { id, instanceId, cachedTokens };
}

async function linesOf(metrics: MetricsRegistry, start: string): Promise<readonly string[]> {
  return (await metrics.text()).split('\n').filter((line) => line.startsWith(start));
}

describe('models of one endpoint', () => {
  it('share its router until the last of them leaves, which can come again', async () => {
    await using cluster = await TestCluster.start();
    const worker = await TestKvWorker.start(cluster);
    worker.store(testPrompt(7, 20));
    const metrics = new MetricsRegistry();
    await using factory = factoryOf(cluster, metrics);
    const [one, two] = await Promise.all(
      ['one', 'two'].map((m) => factory.openRestored(poolOf(m))),
    );
    if (one === undefined || two === undefined) throw new TypeError('two were opened');
    expect(one.shared).toBe(two.shared);
    expect((await route(two)).cachedTokens).toBe(320);
    expect(await linesOf(metrics, BLOCKS)).toHaveLength(1);
    const pending = 'dynamo_frontend_router_queue_pending_requests{';
    expect(await linesOf(metrics, pending)).toHaveLength(2);
    await one.close();
    await one.close();
    expect(await linesOf(metrics, BLOCKS)).toHaveLength(1);
    expect(await linesOf(metrics, pending)).toHaveLength(1);
    expect((await route(two)).instanceId).toBe(worker.id);
    const leaving = two.close();
    await using again = await factory.openRestored(poolOf('one'));
    await leaving;
    expect(again.shared).not.toBe(two.shared);
    expect((await route(again)).cachedTokens).toBe(320);
    expect(await linesOf(metrics, BLOCKS)).toHaveLength(1);
  });

  it('have a router for each block size, which shows the workers that count in it', async () => {
    await using cluster = await TestCluster.start();
    const worker = await TestKvWorker.start(cluster);
    worker.store(testPrompt(7, 20));
    const metrics = new MetricsRegistry();
    await using factory = factoryOf(cluster, metrics);
    const [one, two, three] = [
      await factory.openRestored(poolOf('one')),
      await factory.openRestored(poolOf('two', 64)),
      await factory.openRestored(poolOf('three', 64)),
    ];
    expect([one.shared.blockSize, two.shared.blockSize]).toEqual([TEST_BLOCK_SIZE, 64]);
    expect(three.shared).toBe(two.shared);
    expect((await route(one)).cachedTokens).toBe(320);
    expect(await linesOf(metrics, BLOCKS)).toEqual([expect.stringMatching(/\} 20$/)]);
    expect([one.indexHealth().ranks.length, two.indexHealth().ranks]).toEqual([1, []]);
    const memory = async (): Promise<number> =>
      Number(/ (\d+)$/.exec(String(await linesOf(metrics, MEMORY)))?.[1]);
    const both = await memory();
    await Promise.all([two.close(), three.close()]);
    const left = await memory();
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(both);
    expect(await linesOf(metrics, BLOCKS)).toHaveLength(1);
    await one.close();
    expect(await memory()).toBe(0);
  });

  it('have sessions of their own', async () => {
    await using cluster = await TestCluster.start();
    const workers = [await TestKvWorker.start(cluster), await TestKvWorker.start(cluster)];
    const [first, second] = workers.map(({ id }) => id);
    if (first === undefined || second === undefined) throw new TypeError('two were started');
    await using factory = factoryOf(cluster);
    await using one = await factory.openRestored(poolOf('one'));
    await using two = await factory.openRestored(poolOf('two'));
    await vi.waitFor(() => expect(one.shared.workers).toBe(2));
    const run = async (router: ModelRouter, not?: typeof first): Promise<bigint> => {
      const excluded = new Set(not === undefined ? [] : [not]);
      const { id, instanceId } = await route(router, { sessionId: 's', excluded });
      router.prefillDone(id);
      router.free(id, { kind: 'completed' });
      return instanceId;
    };
    expect(await run(one, second)).toBe(first);
    // Were it the same session, it would be bound to the first worker, or unbind it.
    expect(await run(two, first)).toBe(second);
    expect([await run(one), await run(two)]).toEqual([first, second]);
  });
});
