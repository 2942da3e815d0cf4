import { describe, expect, it, vi } from 'vitest';

import { asInstanceId, systemClock } from '@dynamo-ts/base';
import { LocalKvIndexer, PlacementCore } from '@dynamo-ts/kv';
import { nullLogger } from '@dynamo-ts/telemetry';

import { KV_ROUTER_DEFAULTS } from '../kv-router-settings.ts';
import { RankRestore } from './rank-restore.ts';
import { TEST_BLOCK_SIZE, testPrompt } from '../testing-kv-worker.ts';
import type { TestPrompt } from '../testing-kv-worker.ts';
import type { WorkerKvQuery } from './worker-kv-query.ts';

const workerId = asInstanceId(7n);
/** Workers that answer for themselves are not asked over the network. */
const noQuery = {} as Partial<WorkerKvQuery> as WorkerKvQuery;

function store(cache: LocalKvIndexer, { engine, local }: TestPrompt): void {
  const blocks = { parent: undefined, blockHashes: engine, tokensHashes: local };
  cache.stored(0, 'device', blocks);
}

describe('RankRestore', () => {
  it('asks again after the present answer when events may have been lost meanwhile', async () => {
    await using core = new PlacementCore({
      ...KV_ROUTER_DEFAULTS,
      blockSize: TEST_BLOCK_SIZE,
      endpoint: 'test.backend.generate',
      routerId: asInstanceId(1n),
      seed: 1n,
    });
    const facts = { dpStart: 0, dpSize: 1, totalKvBlocks: 0, maxBatchedTokens: 0, taints: [] };
    core.setWorker({ workerId, ...facts, kvEvents: true });
    const blockSize = TEST_BLOCK_SIZE;
    await using cache = new LocalKvIndexer({ workerId, epoch: 1n, blockSize, dpStart: 0 });
    const [first, second] = [testPrompt(1, 12), testPrompt(2, 12)];
    store(cache, first);
    const held = (prompt: TestPrompt): number | undefined =>
      core.overlap({ blockHashes: prompt.local }).blocks[0];

    const sent = Promise.withResolvers<undefined>();
    let asked = 0;
    const ask = async (request: Uint8Array): Promise<readonly Uint8Array[]> => {
      const answer = await cache.query(request);
      if (asked++ === 0) await sent.promise;
      return answer;
    };
    await using restore = new RankRestore({
      core,
      query: noQuery,
      logger: nullLogger,
      clock: systemClock,
      onProgress: () => undefined,
    });
    restore.open();
    restore.add(workerId, [0], ask);
    await vi.waitFor(() => expect(asked).toBe(1));
    store(cache, second);
    restore.renew(workerId, 0);
    sent.resolve(undefined);
    await vi.waitFor(() => expect([held(first), held(second)]).toEqual([12, 12]));
    expect(asked).toBe(2);
  });
});
