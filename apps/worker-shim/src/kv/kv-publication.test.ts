import { LocalKvIndexer } from '@dynamo-ts/kv';
import type { LocalKvIndexerOptions } from '@dynamo-ts/kv';
import { KvEventBatch, WorkerKvQueryRequest, WorkerKvQueryResponse } from '@dynamo-ts/protocol';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { KvPublication } from './kv-publication.ts';
import type { EngineCache } from './kv-publication.ts';

const WORKER_ID = 7n as LocalKvIndexerOptions['workerId'];
const IN_PROCESS: EngineCache = { blockSize: 16, dpStart: 0, kvEvents: { kind: 'host' } };

/** A record of the simulator: one block without parent is stored on rank 0. */
function storedBlock(hash: bigint): Uint8Array {
  const header = 1n | (1n << 32n);
  return new Uint8Array(BigUint64Array.of(header, 0n, hash, hash + 1000n).buffer);
}

describe('KvPublication', () => {
  const batches: KvEventBatch[] = [];
  let publication: KvPublication;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const metrics = new MetricsRegistry();
    publication = new KvPublication({
      workerId: WORKER_ID,
      publisher: {
        publisherId: WORKER_ID,
        epoch: 1n,
        publish: (payload) => void batches.push(KvEventBatch.decode(payload)),
        close: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      },
      createIndex: (options) => new LocalKvIndexer(options),
      metrics,
      logger: nullLogger,
      clock: { now: () => 5000, monotonicMs: () => 0, sleep: () => Promise.resolve() },
    });
  });

  afterEach(async () => {
    vi.useRealTimers();
    await publication.close();
    batches.length = 0;
  });

  const tick = () => new Promise((resolve) => setImmediate(resolve));
  const kinds = () => batches.flatMap(({ events }) => events.map(({ data }) => data?.$case));

  async function ask() {
    const request = WorkerKvQueryRequest.fromPartial({ workerId: WORKER_ID, dpRank: 0 });
    const items = await publication.query(WorkerKvQueryRequest.encode(request).finish());
    return items?.map((item) => WorkerKvQueryResponse.decode(item));
  }

  it('sends what one tick changed in one batch', async () => {
    await publication.begin(IN_PROCESS);
    publication.accept(storedBlock(1n));
    publication.accept(storedBlock(2n));
    expect(batches).toEqual([]);
    await tick();
    expect(batches).toHaveLength(1);
    expect(batches[0]).toMatchObject({ workerId: WORKER_ID, epoch: 5000n, blockSize: 16 });
    expect(kinds()).toEqual(['stored', 'stored']);
  });

  it('says once that it is quiet, also at its start, so that a lost last event is noticed', async () => {
    await publication.begin(IN_PROCESS);
    vi.advanceTimersByTime(1000);
    expect(kinds()).toEqual(['removed']);
    publication.accept(storedBlock(1n));
    await tick();
    vi.advanceTimersByTime(999);
    expect(kinds()).toEqual(['removed', 'stored']);
    vi.advanceTimersByTime(60_000);
    expect(kinds()).toEqual(['removed', 'stored', 'removed']);
    expect(batches.at(-1)?.events[0]?.eventId).toBe(3n);
  });

  it('tells that everything is gone when the engine dies, and believes it no more', async () => {
    await publication.begin(IN_PROCESS);
    publication.accept(storedBlock(1n));
    await publication.end();
    expect(kinds()).toEqual(['stored', 'cleared']);
    publication.accept(storedBlock(2n));
    await publication.end();
    await tick();
    expect(kinds()).toEqual(['stored', 'cleared']);
    expect((await ask())?.[0]).toMatchObject({ epoch: 5000n, lastEventId: 2n });
  });

  it('begins every life with a new epoch, even when the clock stands still', async () => {
    await publication.begin(IN_PROCESS);
    await publication.end();
    await publication.begin(IN_PROCESS);
    expect((await ask())?.[0]).toMatchObject({ epoch: 5001n, lastEventId: 0n });
  });

  it('has nothing to tell of an engine without events', async () => {
    await publication.begin({ ...IN_PROCESS, kvEvents: { kind: 'none' } });
    publication.accept(storedBlock(1n));
    await tick();
    vi.advanceTimersByTime(60_000);
    expect(batches).toEqual([]);
    expect(await ask()).toBeUndefined();
  });
});
