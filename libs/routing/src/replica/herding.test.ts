/**
 * Several routers that all see the same workers and the same system prompt must not choose the same worker
 * (max/mean load < 1.3 at any time that there is load to speak of).
 */
import { describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import type { PlacementCost } from '@dynamo-ts/kv';
import { ModelRecord, modelCardKey } from '@dynamo-ts/protocol';
import { Context, DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

import type { RankLoad } from '../kv/collaborators.ts';
import { KV_ROUTER_DEFAULTS } from '../kv/kv-router-settings.ts';
import { KvRouter } from '../kv/kv-router.ts';
import type { PlacementRequest } from '../placement-router.ts';
import { ReplicaSync } from './replica-sync.ts';

const path = { namespace: 'test', component: 'backend', endpoint: 'generate' };
const BLOCK_SIZE = 16;
/** Of running requests only their blocks count: what spreads them is what the routers tell each other. */
const BLOCKS_ONLY = { ...KV_ROUTER_DEFAULTS.cost, decodeActiveRequestWeight: 0 };
const WORKERS = 8;
const SYSTEM_TOKENS = 2048;
const QUESTION_TOKENS = 256;

interface Fleet extends AsyncDisposable {
  readonly routers: readonly KvRouter[];
  readonly syncs: readonly ReplicaSync[];
}

async function startFleet(
  count: number,
  isSharing: boolean,
  cost: PlacementCost = BLOCKS_ONLY,
): Promise<Fleet> {
  const planes = createLocalPlanes();
  const runtimes: DistributedRuntime[] = [];
  const connect = async (id?: InstanceId): Promise<DistributedRuntime> => {
    const runtime = await DistributedRuntime.connect({
      ...planes,
      logger: nullLogger,
      ...(id === undefined ? {} : { instanceId: id }),
    });
    runtimes.push(runtime);
    return runtime;
  };
  for (let id = 1; id <= WORKERS; id++) {
    const runtime = await connect(asInstanceId(BigInt(id)));
    await runtime.endpoint('test.backend.generate').serveRaw((_request, sink) => sink.end());
    const runtimeConfig = { totalKvBlocks: 4096, maxNumBatchedTokens: 8192, dataParallelSize: 1 };
    const record = ModelRecord.fromPartial({
      type: 'Model',
      ...path,
      instanceId: runtime.instanceId,
      card: { displayName: 'm', kvCacheBlockSize: BLOCK_SIZE, runtimeConfig },
    });
    const value = new TextEncoder().encode(JSON.stringify(ModelRecord.toJSON(record)));
    await runtime.discovery.register({ key: modelCardKey(path, runtime.instanceId), value });
  }
  const routers: KvRouter[] = [];
  const syncs: ReplicaSync[] = [];
  for (let index = 0; index < count; index++) {
    const runtime = await connect();
    const options = { runtime, path, blockSize: BLOCK_SIZE, logger: nullLogger };
    const router = await KvRouter.connect({
      ...options,
      seed: BigInt(index + 1),
      settings: { useKvEvents: false, cost },
      ...(isSharing
        ? {
            createSharing: ({ core }) => {
              const sync = new ReplicaSync({ ...options, core });
              sync.start();
              syncs.push(sync);
              return sync;
            },
          }
        : {}),
    });
    routers.push(router);
  }
  for (const sync of syncs) await sync.ready();
  return {
    routers,
    syncs,
    [Symbol.asyncDispose]: async () => {
      for (const router of routers) await router.close();
      for (const runtime of runtimes) await runtime.close();
      await planes.close();
    },
  };
}

let lastQuestion = 0;

/** A request with the system prompt that all share, and a question that nobody else asks. */
function prompt(): PlacementRequest {
  lastQuestion += 1;
  const question = lastQuestion;
  const promptTokens = SYSTEM_TOKENS + QUESTION_TOKENS;
  const tokens = Uint32Array.from({ length: promptTokens }, (_, index) =>
    index < SYSTEM_TOKENS ? index : question * 10_000 + index,
  );
  return {
    bookingId: `q${question}`,
    blockHashes: computeBlockHashForSeq(tokens, BLOCK_SIZE),
    blockSize: BLOCK_SIZE,
    promptTokens,
    excluded: new Set(),
  };
}

/** One request that runs. */
interface Running {
  readonly id: string;
  readonly router: KvRouter;
  readonly worker: InstanceId;
  readonly endsAt: number;
}

/** Events go round until every router counts what all of them have booked. */
async function heard({ routers, syncs }: Fleet, load: Partial<RankLoad>): Promise<void> {
  if (syncs.length === 0) return;
  const sum = (router: KvRouter, name: keyof RankLoad): number =>
    router.ranks().reduce((total, rank) => total + Number(rank[name]), 0);
  await vi.waitFor(
    () => {
      for (const router of routers)
        for (const [name, value] of Object.entries(load))
          expect(sum(router, name as keyof RankLoad)).toBe(value); // keys of a RankLoad
    },
    { timeout: 5000, interval: 1 },
  );
}

/** How evenly requests are spread: the busiest worker against the mean, 1 is perfect. */
interface Spread {
  /** Of requests that run, averaged over the steps. */
  readonly running: number;
  /** Of all requests that were placed. */
  readonly placed: number;
}

/** How requests come. */
interface Pattern {
  /** Requests per router and step. */
  readonly burst: number;
  /** Routers hear of each request before the next one comes; otherwise all of a step come at the same moment. */
  readonly isPaced?: boolean;
}

const STEPS = 60;

/** Places requests step by step; each runs for eight steps. */
async function load(fleet: Fleet, { burst, isPaced = false }: Pattern): Promise<Spread> {
  const { routers } = fleet;
  const now = new Map<InstanceId, number>();
  const placed = new Map<InstanceId, number>();
  const add = (counts: Map<InstanceId, number>, id: InstanceId, by: number): void => {
    counts.set(id, (counts.get(id) ?? 0) + by);
  };
  const ratios: number[] = [];
  let running: Running[] = [];
  const end = (ended: readonly Running[]): void => {
    for (const { id, router, worker } of ended) {
      router.free(id, { kind: 'completed' });
      add(now, worker, -1);
    }
  };
  for (let step = 0; step < STEPS; step++) {
    end(running.filter(({ endsAt }) => endsAt <= step));
    running = running.filter(({ endsAt }) => endsAt > step);
    for (const router of routers.flatMap((each) => Array.from({ length: burst }, () => each))) {
      const request = prompt();
      const { instanceId: worker } = await router.route(request, new Context());
      running.push({ id: request.bookingId, router, worker, endsAt: step + 8 });
      add(now, worker, 1);
      add(placed, worker, 1);
      if (isPaced) await heard(fleet, { activeRequests: running.length });
    }
    await heard(fleet, { activeRequests: running.length });
    for (const { id, router } of running) router.prefillDone(id);
    await heard(fleet, { prefillTokens: 0 });
    if (step >= 8) ratios.push(Math.max(...now.values()) / (running.length / WORKERS));
  }
  end(running);
  await heard(fleet, { activeRequests: 0 });
  return {
    running: ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length,
    placed: Math.max(...placed.values()) / ((STEPS * burst * routers.length) / WORKERS),
  };
}

describe('three routers with one system prompt over eight workers', () => {
  it('spread requests evenly, which they do not without telling each other', async () => {
    await using fleet = await startFleet(3, true);
    const together = await load(fleet, { burst: 4 });
    const paced = await load(fleet, { burst: 1, isPaced: true });
    await using strangers = await startFleet(3, false);
    const apart = await load(strangers, { burst: 4 });
    // A burst of twelve on eight workers is not even at every moment; over time it is.
    expect(together.running).toBeLessThan(1.4);
    expect(together.placed).toBeLessThan(1.1);
    // Few requests at a time are spread too, once the prompt is everywhere.
    expect(paced.placed).toBeLessThan(1.1);
    expect(apart.running).toBeGreaterThan(1.5);
    // As routers count by default, requests and all.
    await using usual = await startFleet(3, true, KV_ROUTER_DEFAULTS.cost);
    const { running, placed } = await load(usual, { burst: 4 });
    expect(running).toBeLessThan(1.3);
    expect(placed).toBeLessThan(1.1);
  }, 60_000);
});
