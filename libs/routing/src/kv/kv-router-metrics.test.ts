import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import { instanceIdHex } from '@dynamo-ts/base';
import { Decision, parseEndpointPath } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';

import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';
import { DecisionFile } from './decisions/decision-file.ts';
import type { KvRouterOptions } from './kv-router-parts.ts';
import { KvRouter } from './kv-router.ts';
import { TEST_BLOCK_SIZE, TestKvWorker, testPrompt } from './testing-kv-worker.ts';

const prompt = testPrompt(1, 20);

function openRouter(
  cluster: TestCluster,
  options: Partial<KvRouterOptions> = {},
): Promise<KvRouter> {
  return KvRouter.connect({
    runtime: cluster.caller,
    path: parseEndpointPath(WORKER_ENDPOINT),
    blockSize: TEST_BLOCK_SIZE,
    logger: nullLogger,
    ...options,
  });
}

function routed(router: KvRouter, bookingId: string): ReturnType<KvRouter['route']> {
  const { local: blockHashes, tokenIds } = prompt;
  const blockSize = TEST_BLOCK_SIZE;
  const promptTokens = tokenIds.length;
  const request = { bookingId, blockHashes, blockSize, promptTokens, excluded: new Set<never>() };
  return router.route(request, new Context());
}

/** Value of the series of a metric whose labels include these; undefined when there is none. */
async function valueOf(
  metrics: MetricsRegistry,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number | undefined> {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const lines = (await metrics.text()).split('\n');
  const line = lines.find(
    (each) =>
      (each.startsWith(`${name}{`) || each.startsWith(`${name} `)) &&
      wanted.every((label) => each.includes(label)),
  );
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
}

describe('metrics of a KvRouter', () => {
  it('count events that mean nothing here, by reason', async () => {
    await using cluster = await TestCluster.start();
    const metrics = new MetricsRegistry();
    const worker = await TestKvWorker.start(cluster);
    worker.store(prompt);
    const [good = new Uint8Array()] = worker.take();
    await using router = await openRouter(cluster, { metrics });
    await router.ready();
    const ignored = (reason: string) =>
      valueOf(metrics, 'dynamo_component_router_kv_events_ignored_total', { reason });
    expect(await ignored('unreadable')).toBe(0);
    worker.send([Buffer.from('ffffffff', 'hex'), good.subarray(0, 40), good]);
    await vi.waitFor(async () => {
      expect(await ignored('unreadable')).toBe(2);
    });
    expect(await ignored('stale')).toBeGreaterThan(0);
  });

  it('show the index per rank, what was predicted and what the engine reported', async () => {
    await using cluster = await TestCluster.start();
    const metrics = new MetricsRegistry();
    const worker = await TestKvWorker.start(cluster);
    worker.store(prompt);
    worker.send();
    await using router = await openRouter(cluster, { metrics });
    await router.ready();
    const rank = { worker_id: instanceIdHex(worker.id), dp_rank: '0' };
    const index = (name: string) =>
      valueOf(metrics, `dynamo_component_router_kv_index_${name}`, rank);
    expect(await index('blocks')).toBe(20);
    expect(await index('bytes')).toBeGreaterThan(0);
    expect(await index('staleness_seconds')).toBe(0);
    expect(await index('demoted')).toBe(0);
    expect(await index('gaps_total')).toBe(0);
    expect(await index('resyncs_total')).toBe(1);

    await routed(router, 'a');
    router.prefillDone('a');
    router.free('a', {
      kind: 'completed',
      cachedTokens: 304,
      outputTokens: 9,
      ttftMs: 50,
      itlMs: 4,
    });
    const tokens = (name: string) =>
      valueOf(metrics, `dynamo_component_router_kv_${name}_cached_tokens_total`, rank);
    expect(await tokens('predicted')).toBeGreaterThan(300);
    expect(await tokens('reported')).toBe(304);
    expect(await valueOf(metrics, 'dynamo_component_router_kv_hit_rate_count')).toBe(1);
    const overhead = (name: string) => valueOf(metrics, `dynamo_router_overhead_${name}`);
    // The prompt came hashed.
    expect((await overhead('block_hashing_ms_count')) ?? 0).toBe(0);
    for (const step of ['seq_hashing', 'indexer_find_matches', 'scheduling', 'total']) {
      expect(await overhead(`${step}_ms_count`), step).toBe(1);
      expect(await overhead(`${step}_ms_sum`), step).toBeGreaterThan(0);
    }
    const scheduling = Number(await overhead('scheduling_ms_sum'));
    expect(await overhead('indexer_find_matches_ms_sum')).toBeLessThan(scheduling);
    const last = 'dynamo_frontend_worker_last';
    expect(await valueOf(metrics, `${last}_time_to_first_token_seconds`, rank)).toBe(0.05);
    expect(await valueOf(metrics, `${last}_inter_token_latency_seconds`, rank)).toBe(0.004);
    expect(await valueOf(metrics, `${last}_input_sequence_tokens`, rank)).toBe(320);

    worker.remove(prompt, { from: 19 });
    worker.send();
    const applied = { event_type: 'removed', status: 'ok' };
    const events = 'dynamo_component_kv_cache_events_applied';
    await vi.waitFor(async () => expect(await valueOf(metrics, events, applied)).toBe(1));
    expect(await index('blocks')).toBe(19);
  });

  it('show what runs on a rank', async () => {
    await using cluster = await TestCluster.start();
    const metrics = new MetricsRegistry();
    const worker = await TestKvWorker.start(cluster);
    await using router = await openRouter(cluster, { metrics });
    await router.ready();
    await routed(router, 'a');
    const rank = { worker_id: instanceIdHex(worker.id), dp_rank: '0', worker_type: 'decode' };
    const load = (name: string) => valueOf(metrics, `dynamo_frontend_worker_active_${name}`, rank);
    expect(await load('decode_blocks')).toBe(20);
    expect(await load('prefill_tokens')).toBe(320);
    router.prefillDone('a');
    expect(await load('prefill_tokens')).toBe(0);
    router.free('a');
    expect(await load('decode_blocks')).toBe(0);
  });

  it('go with their worker, and with the router', async () => {
    await using cluster = await TestCluster.start();
    const metrics = new MetricsRegistry();
    const worker = await TestKvWorker.start(cluster);
    const other = await TestKvWorker.start(cluster);
    const router = await openRouter(cluster, { metrics });
    await router.ready();
    const series = async (id: bigint): Promise<number> => {
      const label = `worker_id="${instanceIdHex(id)}"`;
      return (await metrics.text()).split('\n').filter((line) => line.includes(label)).length;
    };
    expect(await series(worker.id)).toBeGreaterThan(8);
    await worker.runtime.close();
    await vi.waitFor(async () => expect(await series(worker.id)).toBe(0));
    expect(await series(other.id)).toBeGreaterThan(8);
    await router.close();
    expect(await series(other.id)).toBe(0);
  });
});

describe('decision log of a KvRouter', () => {
  it('gets the decisions whose requests have ended, as lines of JSON', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'decisions-'));
    try {
      const path = join(folder, 'decisions.ndjson');
      await using cluster = await TestCluster.start();
      await TestKvWorker.start(cluster);
      await using decisionFile = DecisionFile.open({ path, logger: nullLogger });
      const router = await openRouter(cluster, { decisionFile });
      const { decisionId } = await routed(router, 'a');
      await routed(router, 'b');
      router.free('a', { kind: 'completed', cachedTokens: 3 });
      await router.close();
      const lines = (await readFile(path, 'utf8')).trim().split('\n');
      expect(lines).toHaveLength(1);
      const decision = Decision.fromJSON(JSON.parse(lines[0] ?? ''));
      expect(decision).toMatchObject({
        decisionId,
        requestId: 'a',
        endpoint: WORKER_ENDPOINT,
        outcome: { kind: 'completed', cachedTokens: 3 },
      });
      expect(decision.blockHashesLe.byteLength).toBe(160);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
