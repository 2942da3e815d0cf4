import { setImmediate as nextTurn } from 'node:timers/promises';

import { describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { LocalKvIndexer } from '@dynamo-ts/kv';
import { parseEndpointPath } from '@dynamo-ts/protocol';
import { nullLogger } from '@dynamo-ts/telemetry';

import { TestCluster, WORKER_ENDPOINT } from '../../testing-cluster.ts';
import { KvRouter } from '../kv-router.ts';
import { TEST_BLOCK_SIZE, TestKvWorker, lossyEvents, testPrompt } from '../testing-kv-worker.ts';
import type { TestPrompt } from '../testing-kv-worker.ts';

const prompts = Array.from({ length: 8 }, (_, seed) => testPrompt(seed + 1, 12));
const [first = testPrompt(1, 12), second = testPrompt(2, 12)] = prompts;

function openRouter(cluster: TestCluster): Promise<KvRouter> {
  return KvRouter.connect({
    runtime: cluster.caller,
    path: parseEndpointPath(WORKER_ENDPOINT),
    blockSize: TEST_BLOCK_SIZE,
    logger: nullLogger,
    seed: 1n,
  });
}

/** Blocks of a prompt that the router says a rank holds. */
function held(router: KvRouter, id: InstanceId, prompt: TestPrompt, dpRank = 0): number {
  const { workerIds, dpRanks, blocks } = router.overlap({ blockHashes: prompt.local });
  const index = workerIds.findIndex((each, at) => each === id && dpRanks[at] === dpRank);
  return index < 0 ? 0 : (blocks[index * 3] ?? 0);
}

const stateOf = (router: KvRouter, id: InstanceId): string | undefined =>
  router.indexHealth().ranks.find((rank) => rank.workerId === id)?.state;

/** A worker and a router that has restored it. */
async function pair(cluster: TestCluster): Promise<{ worker: TestKvWorker; router: KvRouter }> {
  const worker = await TestKvWorker.start(cluster);
  const router = await openRouter(cluster);
  await router.ready();
  await vi.waitFor(() => expect(stateOf(router, worker.id)).toBe('live'));
  return { worker, router };
}

describe('IndexFeed', () => {
  it('knows what workers held before it was there', async () => {
    await using cluster = await TestCluster.start();
    const worker = await TestKvWorker.start(cluster);
    worker.store(first);
    worker.send();
    await using router = await openRouter(cluster);
    await router.ready();
    expect(held(router, worker.id, first)).toBe(12);
    expect(router.restored).toEqual({ done: 1, total: 1 });
  });

  it('follows what workers store, give up and clear', async () => {
    await using cluster = await TestCluster.start();
    const { worker, router } = await pair(cluster);
    worker.store(first);
    worker.send();
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(12));
    worker.remove(first, { from: 5 });
    worker.send();
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(5));
    worker.clear();
    worker.store(second);
    worker.send();
    await vi.waitFor(() => expect(held(router, worker.id, second)).toBe(12));
    expect(held(router, worker.id, first)).toBe(0);
    expect(worker.queries).toBe(1);
    await router.close();
  });

  it('asks for events that were lost', async () => {
    await using cluster = await TestCluster.start();
    const { worker, router } = await pair(cluster);
    worker.store(first);
    worker.take();
    worker.store(second);
    worker.send();
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(12));
    await vi.waitFor(() => expect(held(router, worker.id, second)).toBe(12));
    expect(router.indexHealth().ranks).toMatchObject([{ state: 'live', gaps: 1n }]);
    await router.close();
  });

  it('takes events once that come twice or late', async () => {
    await using cluster = await TestCluster.start();
    const { worker, router } = await pair(cluster);
    worker.store(first);
    const stored = worker.take();
    worker.remove(first, { from: 3 });
    const removed = worker.take();
    worker.send([...stored, ...stored, ...removed, ...stored]);
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(3));
    worker.store(second);
    const early = worker.take();
    worker.store(first, { from: 3 });
    worker.send([...worker.take(), ...early]);
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(12));
    await vi.waitFor(() => expect(held(router, worker.id, second)).toBe(12));
    await router.close();
  });

  it('forgets what was held before the publisher started again', async () => {
    await using cluster = await TestCluster.start();
    const { worker, router } = await pair(cluster);
    worker.store(first);
    worker.send();
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(12));
    await worker.restart();
    worker.store(second);
    worker.send();
    await vi.waitFor(() => expect(held(router, worker.id, second)).toBe(12));
    expect(held(router, worker.id, first)).toBe(0);
    await router.close();
  });

  it('asks for everything when more was lost than the worker remembers', async () => {
    await using cluster = await TestCluster.start();
    const { worker, router } = await pair(cluster);
    for (const prompt of prompts)
      for (let from = 0; from < 12; from++) {
        worker.store(
          {
            ...prompt,
            local: prompt.local.slice(0, from + 1),
            engine: prompt.engine.slice(0, from + 1),
          },
          { from },
        );
        worker.take();
      }
    worker.remove(first, { from: 11 });
    worker.send();
    for (const prompt of prompts.slice(1))
      await vi.waitFor(() => expect(held(router, worker.id, prompt)).toBe(12));
    expect(held(router, worker.id, first)).toBe(11);
    await router.close();
  });

  it('demotes a worker that does not answer, until it does', async () => {
    await using cluster = await TestCluster.start();
    const { worker, router } = await pair(cluster);
    worker.answersQueries = false;
    worker.store(first);
    worker.take();
    worker.store(second);
    worker.send();
    await vi.waitFor(() => expect(stateOf(router, worker.id)).toBe('demoted'));
    worker.answersQueries = true;
    await vi.waitFor(() => expect(stateOf(router, worker.id)).toBe('live'), { timeout: 5000 });
    expect(held(router, worker.id, first)).toBe(12);
    expect(held(router, worker.id, second)).toBe(12);
    await router.close();
  });

  it('is ready also when a worker never answers, and keeps asking', async () => {
    await using cluster = await TestCluster.start();
    const worker = await TestKvWorker.start(cluster);
    worker.answersQueries = false;
    await using router = await openRouter(cluster);
    await router.ready();
    expect(router.restored).toEqual({ done: 1, total: 1 });
    const asked = worker.queries;
    await vi.waitFor(() => expect(worker.queries).toBeGreaterThan(asked), { timeout: 5000 });
  });

  it('sees that a rank lost events by those of another rank', async () => {
    let isLosing = false;
    await using cluster = await TestCluster.start((plane) => lossyEvents(plane, () => isLosing));
    const worker = await TestKvWorker.start(cluster, { dpSize: 2 });
    await using router = await openRouter(cluster);
    await router.ready();
    expect(router.restored).toEqual({ done: 2, total: 2 });
    worker.store(first, { dpRank: 0 });
    worker.send();
    await vi.waitFor(() => expect(held(router, worker.id, first, 0)).toBe(12));
    isLosing = true;
    worker.store(first, { dpRank: 1 });
    worker.send();
    await nextTurn();
    isLosing = false;
    worker.store(second, { dpRank: 0 });
    worker.send();
    await vi.waitFor(() => expect(held(router, worker.id, first, 1)).toBe(12));
    expect(held(router, worker.id, second, 0)).toBe(12);
  });

  it('drops what a worker held when it leaves', async () => {
    await using cluster = await TestCluster.start();
    const { worker, router } = await pair(cluster);
    worker.store(first);
    worker.send();
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(12));
    await worker.runtime.close();
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(0));
    expect(router.restored).toEqual({ done: 0, total: 0 });
    await router.close();
  });

  it('restores others while some are registered that cannot be asked', async () => {
    await using cluster = await TestCluster.start();
    for (let count = 0; count < 9; count++) await TestKvWorker.start(cluster, { serves: false });
    const worker = await TestKvWorker.start(cluster);
    worker.store(first);
    worker.send();
    await using router = await openRouter(cluster);
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(12));
  });

  it('leaves workers alone that publish no events', async () => {
    await using cluster = await TestCluster.start();
    const worker = await TestKvWorker.start(cluster, { kvEvents: false });
    await using router = await openRouter(cluster);
    await router.ready();
    await vi.waitFor(() => expect(stateOf(router, worker.id)).toBe('silent'));
    expect(worker.queries).toBe(0);
  });

  it('asks for an engine that was added by hand whoever answers for it', async () => {
    await using cluster = await TestCluster.start();
    await using router = await openRouter(cluster);
    const workerId = asInstanceId(77n);
    const engine = { workerId, epoch: 1n, blockSize: TEST_BLOCK_SIZE, dpStart: 0 };
    await using cache = new LocalKvIndexer(engine);
    const { local: tokensHashes, engine: blockHashes } = first;
    cache.stored(0, 'device', { blockHashes, tokensHashes });
    const limits = { dpStart: 0, dpSize: 1, totalKvBlocks: 0, maxBatchedTokens: 0, taints: [] };
    router.addWorker({ workerId, ...limits, kvEvents: true }, (request) => cache.query(request));
    await vi.waitFor(() => expect(held(router, workerId, first)).toBe(12));
    cache.removed(0, 'device', blockHashes.slice(4));
    cache.flush(); // what was there before
    for (let batch = cache.flush(); batch !== undefined; batch = cache.flush())
      router.applyEvents(batch);
    cache.removed(0, 'device', blockHashes.slice(2, 4));
    router.applyEvents(cache.flush() ?? new Uint8Array());
    await vi.waitFor(() => expect(held(router, workerId, first)).toBe(2));
    router.removeWorker(workerId);
    expect(held(router, workerId, first)).toBe(0);
  });

  it('does not mind bytes that are no events', async () => {
    await using cluster = await TestCluster.start();
    const { worker, router } = await pair(cluster);
    worker.store(first);
    const [good = new Uint8Array()] = worker.take();
    worker.send([new Uint8Array(0), Buffer.from('ffffffff', 'hex'), good.subarray(0, 40), good]);
    await vi.waitFor(() => expect(held(router, worker.id, first)).toBe(12));
    await router.close();
  });

  it.each([1, 2, 3])(
    'comes to what the worker holds, whatever is lost, repeated and reordered (seed %i)',
    async (seed) => {
      await using cluster = await TestCluster.start();
      const { worker, router } = await pair(cluster);
      const random = randomFrom(seed);
      const truth = prompts.map(() => 0);
      let late: readonly Uint8Array[] = [];
      for (let step = 0; step < 400; step++) {
        await change(worker, truth, random);
        const batches = worker.take();
        const fate = random(10);
        if (fate === 0) continue;
        if (fate === 1) late = batches;
        else worker.send(fate === 2 ? [...batches, ...late, ...batches] : batches);
        if (step % 40 === 0) await nextTurn();
      }
      worker.store(testPrompt(99, 1));
      worker.send();
      await vi.waitFor(
        () => expect(prompts.map((prompt) => held(router, worker.id, prompt))).toEqual(truth),
        { timeout: 10_000 },
      );
      expect(stateOf(router, worker.id)).toBe('live');
      await router.close();
    },
  );
});

/** Whole numbers below a limit, the same for the same seed (mulberry32). */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** One change of a worker's cache; `truth` is how many blocks of each prompt it holds. */
async function change(
  worker: TestKvWorker,
  truth: number[],
  random: (limit: number) => number,
): Promise<void> {
  const which = random(prompts.length);
  const prompt = prompts[which] ?? first;
  const from = truth[which] ?? 0;
  const kind = random(100);
  if (kind === 0) {
    worker.clear();
    truth.fill(0);
  } else if (kind === 1) {
    await worker.restart();
    truth.fill(0);
  } else if (from < 12 && kind < 60) {
    const to = from + 1 + random(12 - from);
    const upTo = { local: prompt.local.slice(0, to), engine: prompt.engine.slice(0, to) };
    worker.store({ ...prompt, ...upTo }, { from });
    truth[which] = to;
  } else if (from > 0) {
    const to = random(from);
    worker.remove({ ...prompt, engine: prompt.engine.slice(0, from) }, { from: to });
    truth[which] = to;
  }
}
