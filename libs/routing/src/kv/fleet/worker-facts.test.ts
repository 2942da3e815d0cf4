import { describe, expect, it, vi } from 'vitest';

import { parseEndpointPath } from '@dynamo-ts/protocol';
import { nullLogger } from '@dynamo-ts/telemetry';

import { TestCluster, WORKER_ENDPOINT } from '../../testing-cluster.ts';
import { KvRouter } from '../kv-router.ts';
import { TEST_BLOCK_SIZE, TestKvWorker } from '../testing-kv-worker.ts';

const openRouter = (cluster: TestCluster): Promise<KvRouter> =>
  KvRouter.connect({
    runtime: cluster.caller,
    path: parseEndpointPath(WORKER_ENDPOINT),
    blockSize: TEST_BLOCK_SIZE,
    logger: nullLogger,
  });

const states = (router: KvRouter): readonly string[] =>
  router.indexHealth().ranks.map(({ state }) => state);

describe('WorkerFacts', () => {
  it('goes on after a card that cannot be true', async () => {
    await using cluster = await TestCluster.start();
    await using router = await openRouter(cluster);
    await TestKvWorker.start(cluster, { dpSize: 1_000_000 });
    await TestKvWorker.start(cluster, { dpSize: 2 });
    await vi.waitFor(() => expect(states(router)).toEqual(['silent', 'live', 'live']));
  });

  it('expects no events of a worker that counts in other blocks, and leaves its index to another router', async () => {
    await using cluster = await TestCluster.start();
    await using router = await openRouter(cluster);
    const worker = await TestKvWorker.start(cluster, { cardBlockSize: 2 * TEST_BLOCK_SIZE });
    const { id } = await TestKvWorker.start(cluster);
    const ranks = () => router.indexHealth().ranks.map((rank) => [rank.workerId, rank.state]);
    await vi.waitFor(() => expect(ranks()).toEqual([[id, 'live']]));
    expect(router.workers).toBe(2);
    expect(worker.queries).toBe(0);
  });
});
