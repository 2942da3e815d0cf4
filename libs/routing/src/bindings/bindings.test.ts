import { describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import {
  GenerateRequest,
  GenerateResponse,
  ModelRecord,
  modelCardKey,
  parseEndpointPath,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';

import { TEST_BLOCK_SIZE, TestKvWorker, testPrompt } from '../kv/testing-kv-worker.ts';
import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';
import { ComponentKvIndexer } from './component-kv-indexer.ts';
import { KvEventPublisher } from './kv-event-publisher.ts';
import { KvMetricsAggregator } from './kv-metrics-aggregator.ts';
import { KvPushRouter } from './kv-push-router.ts';

const path = parseEndpointPath(WORKER_ENDPOINT);
const prompt = testPrompt(1, 8);

const following = (cluster: TestCluster) => ({
  runtime: cluster.caller,
  path,
  blockSize: TEST_BLOCK_SIZE,
});

describe('KvPushRouter', () => {
  it('tells who holds a prompt, what each would have to do, and who is best', async () => {
    await using cluster = await TestCluster.start();
    const worker = await TestKvWorker.start(cluster);
    const other = await TestKvWorker.start(cluster);
    worker.store(prompt);
    await using router = await KvPushRouter.connect(following(cluster));
    await router.ready();
    expect(router.getOverlapScores(prompt.tokenIds).scores).toEqual(new Map([[worker.id, 8]]));
    expect(router.getPotentialLoads(prompt.tokenIds)).toEqual([
      load(worker.id, { potentialPrefillTokens: 0 }),
      load(other.id, { potentialPrefillTokens: 128 }),
    ]);
    expect(await router.bestWorker(prompt.tokenIds)).toMatchObject({
      instanceId: worker.id,
      overlapBlocks: 8,
    });
    expect(await router.dumpEvents()).toMatchObject([
      { workerId: worker.id, event: { data: { kind: 'stored', blockHashes: prompt.engine } } },
    ]);
  });

  it('books when asked to, until the booking is freed', async () => {
    await using cluster = await TestCluster.start();
    await TestKvWorker.start(cluster);
    await using router = await KvPushRouter.connect(following(cluster));
    const active = (): number | undefined =>
      router.getPotentialLoads(prompt.tokenIds)[0]?.activeRequests;
    const before = active() ?? 0;
    await router.bestWorker(prompt.tokenIds, { bookAs: 'mine' });
    expect(active()).toBe(before + 1);
    router.markPrefillComplete('mine');
    router.free('mine');
    expect(active()).toBe(before);
  });

  it('sends a request to the best worker', async () => {
    await using cluster = await TestCluster.start();
    const seen: (number | undefined)[] = [];
    const worker = await TestKvWorker.start(cluster, {
      handler: ({ payload }, sink) => {
        seen.push(GenerateRequest.decode(payload).routing?.dpRank);
        sink.write(GenerateResponse.encode(GenerateResponse.fromPartial({ text: 'hi' })).finish());
        sink.end();
      },
    });
    await using router = await KvPushRouter.connect(following(cluster));
    const texts: (string | undefined)[] = [];
    const tokenIdsLe = Buffer.from(tokenIdsToBytes(prompt.tokenIds));
    for await (const { text } of router.generate({ tokenIdsLe }, { workerId: worker.id }))
      texts.push(text);
    expect(texts).toEqual(['hi']);
    expect(seen).toEqual([0]);
    await expect(
      router.generate({ tokenIdsLe }, { workerId: asInstanceId(99n) }).next(),
    ).rejects.toMatchObject({ code: 'backend.unavailable' });
  });
});

function load(workerId: bigint, fields: { potentialPrefillTokens: number }) {
  const common = {
    dpRank: 0,
    potentialDecodeBlocks: 8,
    activeRequests: expect.any(Number) as number,
  };
  return { workerId, ...common, ...fields };
}

describe('KvEventPublisher', () => {
  it('lets a worker of one’s own be indexed, from before and after', async () => {
    await using cluster = await TestCluster.start();
    const { runtime, id } = await cluster.worker((_request, sink) => sink.end());
    const component = runtime.namespace(path.namespace).component(path.component);
    await using publisher = await KvEventPublisher.create({
      runtime,
      component,
      kvBlockSize: TEST_BLOCK_SIZE,
    });
    const record = ModelRecord.fromPartial({
      type: 'Model',
      ...path,
      instanceId: id,
      card: { displayName: 'm', runtimeConfig: { kvEvents: true } },
    });
    const value = Buffer.from(JSON.stringify(ModelRecord.toJSON(record)));
    await runtime.discovery.register({ key: modelCardKey(path, id), value });
    publisher.publishStored({
      blockHashes: prompt.engine.slice(0, 4),
      tokenIds: prompt.tokenIds.slice(0, 64),
    });
    await using indexer = await ComponentKvIndexer.follow(following(cluster));
    await indexer.ready();
    const held = (): number => indexer.findMatchesForRequest(prompt.tokenIds).of(id);
    expect(held()).toBe(4);
    publisher.publishStored({
      parentHash: prompt.engine[3],
      blockHashes: prompt.engine.slice(4),
      tokensHashes: computeBlockHashForSeq(prompt.tokenIds, TEST_BLOCK_SIZE).slice(4),
    });
    await vi.waitFor(() => expect(held()).toBe(8));
    publisher.publishRemoved(prompt.engine.slice(2));
    await vi.waitFor(() => expect(held()).toBe(2));
    publisher.clear();
    await vi.waitFor(() => expect(held()).toBe(0));
    expect(() =>
      publisher.publishStored({ blockHashes: prompt.engine, tokenIds: new Uint32Array(3) }),
    ).toThrow(expect.objectContaining({ code: 'request.invalid' }));
  });
});

describe('KvMetricsAggregator', () => {
  it('keeps what it is given', async () => {
    await using aggregator = new KvMetricsAggregator();
    const metrics = {
      requestActiveSlots: 1,
      numRequestsWaiting: 2,
      kvActiveBlocks: 3,
      kvTotalBlocks: 4,
      activePrefillTokens: 5,
      gpuCacheUsageRatio: 0.75,
    };
    const id = asInstanceId(1n);
    aggregator.update(id, metrics);
    expect(aggregator.getWorkerMetrics(id)).toEqual(metrics);
    expect(aggregator.getWorkerMetrics(asInstanceId(2n))).toBeUndefined();
    expect(aggregator.getMetrics()).toEqual(new Map([[id, metrics]]));
    aggregator.remove(id);
    expect(aggregator.getMetrics().size).toBe(0);
  });

  it('follows the workers, adds up their ranks, and forgets those that leave', async () => {
    await using cluster = await TestCluster.start();
    const { runtime, id } = await cluster.worker((_request, sink) => sink.end());
    const component = runtime.namespace(path.namespace).component(path.component);
    await using aggregator = await KvMetricsAggregator.subscribe(cluster.caller, path);
    const publisher = await component.createMetricsPublisher();
    for (const dpRank of [0, 1])
      publisher.publish({ dpRank, activeRequests: 2, activeDecodeBlocks: 10, totalKvBlocks: 40 });
    await vi.waitFor(() =>
      expect(aggregator.getWorkerMetrics(id)).toMatchObject({
        requestActiveSlots: 4,
        kvActiveBlocks: 20,
        kvTotalBlocks: 80,
        gpuCacheUsageRatio: 0.25,
      }),
    );
    await runtime.close();
    await vi.waitFor(() => expect(aggregator.getMetrics().size).toBe(0));
  });
});
