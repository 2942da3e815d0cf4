import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { parseEndpointPath } from '@dynamo-ts/protocol';
import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it } from 'vitest';

import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';
import { KvRouterFactory } from './kv-router-factory.ts';
import { TEST_ROUTER_CONFIG } from './testing-config.ts';
import { TEST_BLOCK_SIZE, TestKvWorker } from './testing-kv-worker.ts';

const pool = { path: parseEndpointPath(WORKER_ENDPOINT), blockSize: TEST_BLOCK_SIZE };

function factoryOf(cluster: TestCluster, minWorkers: number, restoreMs?: number): KvRouterFactory {
  return KvRouterFactory.create({
    config: { ...TEST_ROUTER_CONFIG, routerMinInitialWorkers: minWorkers },
    runtime: cluster.caller,
    logger: nullLogger,
    restoreMs,
  });
}

describe('decision log of a KvRouterFactory', () => {
  it('is claimed by a process that decides, and by no other', async () => {
    await using cluster = await TestCluster.start();
    const folder = await mkdtemp(join(tmpdir(), 'decision-factory-'));
    const options = {
      config: { ...TEST_ROUTER_CONFIG, routerDecisionLog: join(folder, 'log') },
      runtime: cluster.caller,
      logger: nullLogger,
    };
    const [asking, deciding] = [KvRouterFactory.create(options), KvRouterFactory.create(options)];
    expect(await readdir(folder)).toEqual(['log']);
    await (await deciding.open(pool)).close();
    expect(await readdir(folder)).toEqual(['log', 'log.claim']);
    await asking.close();
    await deciding.close();
    expect(await readdir(folder)).toEqual(['log']);
    await rm(folder, { recursive: true });
  });
});

describe('KvRouterFactory.openRestored', () => {
  it('waits until as many workers as must be there are restored', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster);
    await using factory = factoryOf(cluster, 2);
    let isOpen = false;
    const opening = factory.openRestored(pool).then((router) => {
      isOpen = true;
      return router;
    });
    // One that waits for nobody is open long before.
    await using other = await factoryOf(cluster, 1).openRestored(pool);
    expect([isOpen, other.restored]).toEqual([false, { done: 1, total: 1 }]);
    await TestKvWorker.start(cluster);
    await using router = await opening;
    expect(router.restored).toEqual({ done: 2, total: 2 });
  });

  it('does without those that do not come in time', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster);
    await using factory = factoryOf(cluster, 2, 20);
    await using router = await factory.openRestored(pool);
    expect(router.restored.total).toBe(1);
  });

  it('ends with its caller', async () => {
    await using cluster = await TestCluster.start();
    await using factory = factoryOf(cluster, 1);
    const caller = new AbortController();
    const opening = factory.openRestored(pool, { signal: caller.signal });
    caller.abort();
    await expect(opening).rejects.toMatchObject({ code: 'request.cancelled' });
  });
});
