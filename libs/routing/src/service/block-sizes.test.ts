import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import {
  FreeRequest,
  PrefillDoneRequest,
  QueryIndexRequest,
  RouteRequest,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import type { RouteResponse } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it, vi } from 'vitest';

import { modelFollower } from '../kv/fleet/endpoint-models.ts';
import { KvRouter } from '../kv/kv-router.ts';
import { TestKvWorker, testPrompt } from '../kv/testing-kv-worker.ts';
import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';
import { RouterService } from './router-service.ts';
import { noModels } from './testing-router.ts';

const SIZES = [16, 64] as const;
const TOKENS = 320;
const { tokenIds } = testPrompt(7, TOKENS / SIZES[0]);
const context = new Context();

/** A service whose routers open in the blocks that are meant, or always in `blockSize`. */
async function setUp(cluster: TestCluster, blockSize?: number) {
  const runtime = await cluster.runtime();
  const metrics = new MetricsRegistry();
  const routers: KvRouter[] = [];
  const service = new RouterService({
    open: async (path, size) => {
      const options = { runtime, path, metrics, logger: nullLogger };
      const router = await KvRouter.connect({ ...options, blockSize: size });
      routers.push(router);
      return router;
    },
    follow: blockSize === undefined ? modelFollower(runtime, nullLogger) : noModels,
    blockSize,
    logger: nullLogger,
  });
  const route = (
    requestId: string,
    size = 0,
    extra: Partial<RouteRequest> = {},
  ): Promise<RouteResponse> => {
    const tokenIdsLe = tokenIdsToBytes(tokenIds);
    const request = { requestId, endpoint: WORKER_ENDPOINT, blockSize: size, tokenIdsLe, ...extra };
    return service.route(RouteRequest.create(request), { context });
  };
  return { service, metrics, routers, route };
}

/** One worker for each block size, all with the same prompt. */
async function holders(cluster: TestCluster): Promise<readonly bigint[]> {
  const ids: bigint[] = [];
  for (const cardBlockSize of SIZES) {
    const worker = await TestKvWorker.start(cluster, { cardBlockSize, model: `m${cardBlockSize}` });
    const local = computeBlockHashForSeq(tokenIds, cardBlockSize);
    worker.store({ tokenIds, local, engine: local });
    ids.push(worker.id);
  }
  return ids;
}

const booking = (requestId: string) => ({ requestId, endpoint: WORKER_ENDPOINT });

describe('models of one endpoint whose blocks differ', () => {
  it('have their prompts sent to the workers that hold them', async () => {
    await using cluster = await TestCluster.start();
    const workers = await holders(cluster);
    const { service, route, routers } = await setUp(cluster);
    const { endpoints } = service;
    // At once: the second one waits for the first and is not served by it.
    const opened = await Promise.all(
      SIZES.map((blockSize) => endpoints.open(WORKER_ENDPOINT, { blockSize })),
    );
    expect(opened.map((router) => router.blockSize)).toEqual(SIZES);
    await vi.waitFor(() =>
      expect(routers.map((router) => router.indexHealth().blocks)).toEqual([20n, 5n]),
    );
    for (const round of [1, 2, 3])
      for (const [at, size] of SIZES.entries()) {
        const id = `${size} ${round}`;
        const instanceId = workers[at];
        expect(await route(id, size), id).toMatchObject({ instanceId, cachedTokens: TOKENS });
        service.free(FreeRequest.create(booking(id)));
      }
    for (const [at, size] of SIZES.entries()) {
      const named = await route(`model ${size}`, 0, { model: `m${size}` });
      expect(named).toMatchObject({ instanceId: workers[at], cachedTokens: TOKENS });
    }
    expect(routers).toHaveLength(2);
    for (const includeBlocks of [false, true]) {
      const query = QueryIndexRequest.create({ endpoint: WORKER_ENDPOINT, includeBlocks });
      const { ranks, blocks } = await service.queryIndex(query, { context });
      expect(ranks.map(({ workerId, blocks: held }) => [workerId, held])).toEqual([
        [workers[0], 20n],
        [workers[1], 5n],
      ]);
      expect(blocks).toBe(25n);
    }
    await service.close();
  });

  it('have their bookings where they were made, and each end counted once', async () => {
    await using cluster = await TestCluster.start();
    await holders(cluster);
    const { service, route, routers, metrics } = await setUp(cluster);
    for (const size of SIZES) await route(`r${size}`, size);
    const active = (): readonly number[] => routers.map((router) => router.activeRequests);
    expect(active()).toEqual([1, 1]);
    service.prefillDone(PrefillDoneRequest.create(booking('r64')));
    expect(await metrics.text()).toMatch(/time_to_first_token_seconds_count\{[^}]*\} 1$/m);
    service.outputBlock(booking('r64'));
    const outcome = { kind: 'completed', outputTokens: 5 };
    const free = FreeRequest.fromPartial({ ...booking('r64'), outcome });
    service.free(free);
    expect(active()).toEqual([1, 0]);
    service.free(free);
    expect(await metrics.text()).toMatch(/output_sequence_tokens_count\{[^}]*\} 1$/m);
    // Its id is taken again by a request in other blocks, which gives the earlier booking back.
    await route('r16', 64);
    expect(active()).toEqual([0, 1]);
    service.free(FreeRequest.create(booking('r16')));
    expect(active()).toEqual([0, 0]);
    await service.close();
  });

  it('share the one router of a configured block size', async () => {
    await using cluster = await TestCluster.start();
    const [small, large] = await holders(cluster);
    const { service, route, routers } = await setUp(cluster, 16);
    for (const size of [64, 16, 0]) await route(`r${size}`, size);
    expect(routers).toHaveLength(1);
    // Their workers are told apart nevertheless.
    await vi.waitFor(() => expect(routers[0]?.foreign('m64', true)).toEqual([small]));
    for (let round = 0; round < 4; round += 1)
      expect((await route(`large ${round}`, 0, { model: 'm64' })).instanceId).toBe(large);
    await service.close();
  });

  it('are not looked for at a worker that has not said yet what it serves', async () => {
    await using cluster = await TestCluster.start();
    const [small] = await holders(cluster);
    const { id } = await cluster.worker(() => undefined);
    const { service, route, routers } = await setUp(cluster);
    await route('first', 16, { model: 'm16' });
    await vi.waitFor(() => expect(routers[0]?.workers).toBe(3));
    for (let round = 0; round < 4; round += 1)
      expect((await route(`r${round}`, 16, { model: 'm16' })).instanceId).toBe(small);
    expect(routers[0]?.foreign('m16', false)).toContain(id);
    // Nothing is known against it when the model is not known either.
    expect(routers[0]?.foreign('adapter', false)).not.toContain(id);
    await service.close();
  });

  it('are too many when their routers are more than a service takes', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(() => undefined);
    const { service, route, routers } = await setUp(cluster);
    for (let size = 1; size <= 64; size += 1) await route(`r${size}`, size);
    await expect(route('one more', 65)).rejects.toMatchObject({ code: 'request.invalid' });
    expect(await route('again', 64)).toBeDefined();
    expect(routers).toHaveLength(64);
    // Those whose requests have ended make room: no worker has said that it needs them.
    service.free(FreeRequest.create(booking('r7')));
    expect(await route('one more', 65)).toBeDefined();
    expect(service.endpoints.all().map(({ router }) => router.blockSize)).not.toContain(7);
    expect(service.endpoints.all()).toHaveLength(64);
    await service.close();
  });
});
