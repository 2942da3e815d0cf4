import { AbortReasonError } from '@dynamo-ts/base';
import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it, vi } from 'vitest';

import { modelFollower } from '../kv/fleet/endpoint-models.ts';
import type { FollowedModels } from './routed-endpoint.ts';
import { TestKvWorker } from '../kv/testing-kv-worker.ts';
import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';
import { RoutedEndpoints } from './routed-endpoints.ts';
import { openTestRouter } from './testing-router.ts';

/** Endpoints whose routers open in the blocks that calls and model cards say. */
async function setUp(blockSize?: number) {
  const cluster = await TestCluster.start();
  const runtime = cluster.caller;
  const followed: { isClosed: boolean }[] = [];
  const follow = modelFollower(runtime, nullLogger);
  const endpoints = new RoutedEndpoints({
    open: openTestRouter(runtime),
    follow: (path, onChange): FollowedModels => {
      const models = follow(path, onChange);
      const each = { isClosed: false };
      followed.push(each);
      return {
        get isReady() {
          return models.isReady;
        },
        list: () => models.list(),
        gone: () => models.gone(),
        async [Symbol.asyncDispose]() {
          each.isClosed = true;
          await models.close();
        },
      };
    },
    blockSize,
    logger: nullLogger,
  });
  return {
    cluster,
    endpoints,
    followed,
    sizes: () => endpoints.routersOf(WORKER_ENDPOINT).map(({ blockSize }) => blockSize),
    async [Symbol.asyncDispose]() {
      await endpoints.close();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

function leaving() {
  const caller = new AbortController();
  return { signal: caller.signal, leave: () => caller.abort(new AbortReasonError('client-gone')) };
}

describe('RoutedEndpoints', () => {
  it('goes on waiting for a block size while anybody does', async () => {
    await using test = await setUp();
    const { signal, leave } = leaving();
    const first = test.endpoints.open(WORKER_ENDPOINT, { signal });
    const second = test.endpoints.open(WORKER_ENDPOINT);
    leave();
    await expect(first).rejects.toMatchObject({ code: 'request.cancelled' });
    const third = test.endpoints.open(WORKER_ENDPOINT, { blockSize: 16 });
    expect(await second).toBe(await third);
    expect(test.followed).toEqual([{ isClosed: false }]);
  });

  it('lets go of an endpoint that nobody waits for any more', async () => {
    await using test = await setUp();
    for (let count = 0; count < 100; count += 1) {
      const { signal, leave } = leaving();
      const waiting = test.endpoints.open(`${WORKER_ENDPOINT}-${count}`, { signal });
      leave();
      await expect(waiting).rejects.toMatchObject({ code: 'request.cancelled' });
    }
    await vi.waitFor(() => expect(test.followed.every((each) => each.isClosed)).toBe(true));
    const router = await test.endpoints.open(WORKER_ENDPOINT, { blockSize: 16 });
    expect(test.endpoints.routersOf(WORKER_ENDPOINT)).toEqual([router]);
  });

  it('opens what a kept endpoint has as soon as workers say it, before anybody calls', async () => {
    await using test = await setUp();
    const prepared = test.endpoints.prepare(WORKER_ENDPOINT);
    await TestKvWorker.start(test.cluster, { model: 'small' });
    expect((await prepared).map(({ blockSize }) => blockSize)).toEqual([16]);
    await TestKvWorker.start(test.cluster, { model: 'large', cardBlockSize: 64 });
    await vi.waitFor(() => expect(test.sizes()).toEqual([16, 64]));
    expect((await test.endpoints.open(WORKER_ENDPOINT, { model: 'large' })).blockSize).toBe(64);
    expect(await test.endpoints.openAll(WORKER_ENDPOINT)).toHaveLength(2);
  });

  it('has one router for each endpoint in the blocks that are configured, and asks no model card', async () => {
    await using test = await setUp(32);
    const all = await test.endpoints.openAll(WORKER_ENDPOINT);
    expect(all.map(({ blockSize }) => blockSize)).toEqual([32]);
    expect(await test.endpoints.open(WORKER_ENDPOINT, { blockSize: 16, model: 'm' })).toBe(all[0]);
    expect(test.followed).toEqual([]);
  });

  it('waits for a worker with the blocks that a call names, and refuses it when none comes', async () => {
    await using test = await setUp();
    await TestKvWorker.start(test.cluster, { model: 'small' });
    await test.endpoints.prepare(WORKER_ENDPOINT);
    const early = test.endpoints.open(WORKER_ENDPOINT, { model: 'large', blockSize: 64 });
    await TestKvWorker.start(test.cluster, { model: 'large', cardBlockSize: 64 });
    expect((await early).blockSize).toBe(64);
    await expect(
      test.endpoints.open(WORKER_ENDPOINT, { blockSize: 65_537, isNew: true }),
    ).rejects.toThrow('block_size must be at most 65536');
    await expect(test.endpoints.open(WORKER_ENDPOINT, { blockSize: 17 })).rejects.toMatchObject({
      code: 'request.invalid',
      message: `no worker of ${WORKER_ENDPOINT} has blocks of 17 tokens; there are blocks of 16, 64 (small: 16, large: 64)`,
    });
    expect(test.sizes()).toEqual([16, 64]);
  });
});
