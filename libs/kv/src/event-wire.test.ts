/** The Rust core's messages are written by hand: both sides must read what the other one writes. */
import { asInstanceId } from '@dynamo-ts/base';
import type { KvEvent } from '@dynamo-ts/protocol';
import {
  CacheTier,
  KvEventBatch,
  WorkerKvQueryRequest,
  WorkerKvQueryResponse,
} from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { LocalKvIndexer } from './local-kv-indexer.ts';
import { PlacementCore } from './placement-core.ts';
import { PLACEMENT_DEFAULTS } from './placement-defaults.ts';

const WORKER = 0xfedc_ba98_7654_3210n;
const EPOCH = 0x8000_0000_0000_0001n;
/** A hash that no float and no signed number holds. */
const LARGE = 0xffff_ffff_ffff_fffdn;

function bytes(...hashes: bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(hashes).buffer);
}

function publisher(): LocalKvIndexer {
  return new LocalKvIndexer({
    workerId: asInstanceId(WORKER),
    epoch: EPOCH,
    blockSize: 16,
    dpStart: 3,
    ringEvents: 4,
    maxBatchBlocks: 0,
  });
}

function placement(): PlacementCore {
  const core = new PlacementCore({
    ...PLACEMENT_DEFAULTS,
    blockSize: 16,
    endpoint: 'ns.backend.generate',
    routerId: asInstanceId(1n),
    seed: 1n,
  });
  core.setWorker({
    workerId: asInstanceId(WORKER),
    dpStart: 3,
    dpSize: 1,
    totalKvBlocks: 100,
    maxBatchedTokens: 1000,
    kvEvents: true,
    taints: [],
  });
  return core;
}

const device = (core: PlacementCore, ...blockHashes: bigint[]): number =>
  core.overlap({ blockHashes: BigUint64Array.from(blockHashes) }).blocks[0] ?? 0;

const query = async (
  indexer: LocalKvIndexer,
  request: Parameters<typeof WorkerKvQueryRequest.fromPartial>[0],
): Promise<WorkerKvQueryResponse[]> => {
  const encoded = WorkerKvQueryRequest.encode(
    WorkerKvQueryRequest.fromPartial({ workerId: WORKER, dpRank: 3, epoch: EPOCH, ...request }),
  ).finish();
  const items = await indexer.query(encoded);
  return items.map((item) => WorkerKvQueryResponse.decode(item));
};

describe('KV events on the wire', () => {
  it('what Rust publishes is what the generated code reads', async () => {
    await using indexer = publisher();
    const blocks = {
      blockHashes: BigUint64Array.of(1n, LARGE),
      tokensHashes: BigUint64Array.of(LARGE, 7n),
    };
    indexer.stored(3, 'device', blocks);
    indexer.stored(3, 'disk', { ...blocks, parent: LARGE - 1n });
    indexer.removed(3, 'host', BigUint64Array.of(LARGE));
    indexer.clear(3);
    const batch = KvEventBatch.decode(indexer.flush() ?? new Uint8Array());
    expect(batch).toMatchObject({ workerId: WORKER, epoch: EPOCH, blockSize: 16 });
    expect(batch.events.map(row)).toEqual([
      [1n, 3, CacheTier.CACHE_TIER_DEVICE, 'stored', undefined, [1n, LARGE], [LARGE, 7n]],
      [2n, 3, CacheTier.CACHE_TIER_DISK, 'stored', LARGE - 1n, [1n, LARGE], [LARGE, 7n]],
      [3n, 3, CacheTier.CACHE_TIER_HOST, 'removed', [LARGE]],
      [4n, 3, CacheTier.CACHE_TIER_DEVICE, 'cleared'],
    ]);
    expect(indexer.flush()).toBeUndefined();
  });

  it('what the generated code writes is what Rust reads', () => {
    const core = placement();
    const batch = KvEventBatch.fromPartial({
      workerId: WORKER,
      epoch: EPOCH,
      blockSize: 16,
      events: [
        {
          eventId: 1n,
          dpRank: 3,
          data: {
            $case: 'stored',
            value: { blockHashesLe: bytes(5n, LARGE), tokensHashesLe: bytes(LARGE, 9n) },
          },
        },
        {
          eventId: 2n,
          dpRank: 3,
          tier: CacheTier.CACHE_TIER_DEVICE,
          data: {
            $case: 'stored',
            value: { parentHash: LARGE, blockHashesLe: bytes(6n), tokensHashesLe: bytes(4n) },
          },
        },
      ],
    });
    const result = core.applyEvents(KvEventBatch.encode(batch).finish(), 1);
    expect(result).toMatchObject({ applied: 2, refused: 0, stale: 0, recoveries: [] });
    expect(device(core, LARGE, 9n, 4n)).toBe(3);
    const health = core.health(1);
    expect([...health.epochs, ...health.lastEventIds]).toEqual([EPOCH, 2n]);
  });

  it('questions and every kind of answer are understood', async () => {
    await using indexer = publisher();
    for (const hash of [1n, 2n, 3n, 4n, 5n, 6n]) {
      const one = BigUint64Array.of(hash);
      indexer.stored(3, 'device', { blockHashes: one, tokensHashes: one });
    }
    const [events] = await query(indexer, { startEventId: 4n });
    expect(events).toMatchObject({ workerId: WORKER, dpRank: 3, epoch: EPOCH, lastEventId: 6n });
    const batch = events?.result?.$case === 'events' ? events.result.value : undefined;
    expect(batch?.events.map(row)).toEqual(
      [4n, 5n, 6n].map((hash) => [
        hash,
        3,
        CacheTier.CACHE_TIER_DEVICE,
        'stored',
        undefined,
        [hash],
        [hash],
      ]),
    );
    const results = async (request: object): Promise<unknown> =>
      (await query(indexer, request)).map((item) => item.result);
    const { result } = (await query(indexer, { startEventId: 1n }))[0] ?? {};
    expect(result).toMatchObject({ $case: 'snapshot', value: { index: 0, count: 1 } });
    expect(await results({})).toEqual([result]);
    expect(await results({ startEventId: 4n, epoch: 9n })).toEqual([result]);
    expect(await results({ startEventId: 7n })).toEqual([
      { $case: 'tooNew', value: { newestEventId: 6n } },
    ]);
    expect(await results({ startEventId: 5n, endEventId: 4n })).toEqual([
      { $case: 'invalidRange', value: {} },
    ]);
    expect(await results({ workerId: 5n })).toEqual([
      { $case: 'error', value: 'the request is for another worker' },
    ]);
  });

  it('a large snapshot comes in parts that restore a router', async () => {
    await using indexer = publisher();
    const count = 150_000;
    const all = BigUint64Array.from({ length: count }, (_, index) => BigInt(index + 1));
    indexer.stored(3, 'device', { blockHashes: all, tokensHashes: all });
    const core = placement();
    const [recovery] = core.recoveriesDue(1);
    const request = WorkerKvQueryRequest.encode(
      WorkerKvQueryRequest.fromPartial({
        workerId: WORKER,
        dpRank: 3,
        startEventId: recovery?.startEventId,
      }),
    ).finish();
    const items = await indexer.query(request);
    expect(items.length).toBe(3);
    const result = await core.finishRecovery(asInstanceId(WORKER), 3, items, 2);
    expect(result.recoveries).toEqual([]);
    expect(core.health(2)).toMatchObject({ states: ['live'], blocks: Float64Array.of(count) });
    expect(device(core, ...all.subarray(0, 500))).toBe(500);
  });
});

/** An event as a row: id, rank, tier, kind, parent, block hashes, tokens hashes. */
function row({ eventId, dpRank, tier, data }: KvEvent): unknown[] {
  const head = [eventId, dpRank, tier, data?.$case];
  if (data?.$case === 'stored') {
    const { parentHash, blockHashesLe, tokensHashesLe } = data.value;
    return [...head, parentHash, hashes(blockHashesLe), hashes(tokensHashesLe)];
  }
  return data?.$case === 'removed' ? [...head, hashes(data.value.blockHashesLe)] : head;
}

function hashes(bytes: Uint8Array): bigint[] {
  return [...new BigUint64Array(Uint8Array.from(bytes).buffer)];
}
