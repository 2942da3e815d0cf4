/** Models with blocks of different sizes at one endpoint, asked for over the public gRPC port. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import {
  FreeRequest,
  GenerateRequest,
  OverlapRequest,
  PotentialLoadsRequest,
  QueryIndexRequest,
  RegisterWorkerRequest,
  RequestOutcome,
  RouteRequest,
  hashesToBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import type { GenerateResponse, RouteResponse } from '@dynamo-ts/protocol';
import { describe, expect, it, vi } from 'vitest';

import { GrpcCaller } from './grpc-caller.ts';
import { tokens } from './testing-engine.ts';
import { ENDPOINT, Fleet } from './testing-fleet.ts';
import { MODELS, worker, workerRuntime } from './testing-models.ts';

const PROMPT = Uint32Array.from(tokens(256));
const promptLe = Buffer.from(tokenIdsToBytes(PROMPT));
const NAMES = ['small', 'large'] as const;
const AMBIGUOUS = {
  code: 3,
  details: expect.stringMatching(
    /have blocks of 16, 64 tokens \((small: 16, large: 64|large: 64, small: 16)\): name one in model, or its block size in block_size/,
  ) as string,
};

/** Two workers of each model, and a router that knows all of them. */
async function setUp(fleet: Fleet, ...flags: readonly string[]) {
  const workers: Record<(typeof NAMES)[number], bigint[]> = { small: [], large: [] };
  for (const name of NAMES)
    for (let count = 0; count < 2; count += 1) workers[name].push(await worker(fleet, name));
  const app = await fleet.routerOfAnySize(...flags);
  const caller = new GrpcCaller(app.grpcPort);
  for (const model of NAMES) {
    const query = PotentialLoadsRequest.create({ endpoint: ENDPOINT, model, promptTokens: 1 });
    await vi.waitFor(
      async () => {
        const { loads } = await caller.ask('potentialLoads', query);
        expect(loads.map(({ workerId }) => workerId).toSorted()).toEqual(workers[model].toSorted());
      },
      { timeout: 10_000 },
    );
  }
  return { app, workers, ...callsOf(caller) };
}

/** The calls that every test makes. */
function callsOf(caller: GrpcCaller) {
  let last = 0;
  const route = (extra: Partial<RouteRequest>): Promise<RouteResponse & { id: string }> => {
    const requestId = `r${(last += 1)}`;
    const request = { requestId, endpoint: ENDPOINT, tokenIdsLe: promptLe, ...extra };
    return caller
      .ask('route', RouteRequest.create(request))
      .then((answer) => ({ ...answer, id: requestId }));
  };
  const free = (requestId: string) =>
    caller.ask(
      'free',
      FreeRequest.create({
        requestId,
        endpoint: ENDPOINT,
        outcome: RequestOutcome.create({ kind: 'completed' }),
      }),
    );
  return { caller, route, free };
}

describe('two models of one endpoint', () => {
  it('have their own workers and blocks in every call that takes a prompt', async () => {
    await using fleet = await Fleet.start();
    const { caller, workers, route, free } = await setUp(fleet);
    const { decisions, call } = caller.subscribe(ENDPOINT);
    for (const model of NAMES) {
      const blockSize = MODELS[model];
      // More often than there are workers of it: load alone would lead to the other model's.
      for (let round = 0; round < 6; round += 1)
        expect(workers[model]).toContain((await route({ model })).instanceId);
      const chosen = await route({ model, blockSize });
      await free(chosen.id);
      const prompts = [
        { model },
        { blockSize },
        { model, blockSize },
        { model, blockHashesLe: hashesOf(blockSize), tokenIdsLe: Buffer.of() },
      ];
      for (const prompt of prompts) {
        const fields = { endpoint: ENDPOINT, tokenIdsLe: promptLe, ...prompt };
        const overlap = await caller.ask('overlap', OverlapRequest.create(fields));
        expect(overlap.blockSize).toBe(blockSize);
        expect(overlap.workers.map(({ workerId }) => workerId).toSorted()).toEqual(
          workers[model].toSorted(),
        );
        const held = overlap.workers.map(({ deviceBlocks }) => deviceBlocks);
        expect(Math.max(...held)).toBe(256 / blockSize);
        const loads = await caller.ask('potentialLoads', PotentialLoadsRequest.create(fields));
        expect(loads.blockSize).toBe(blockSize);
        expect(loads.loads).toHaveLength(2);
      }
      const texts = await generated(caller, model);
      expect(texts).toEqual([model]);
    }
    const index = await caller.ask('queryIndex', QueryIndexRequest.create({ endpoint: ENDPOINT }));
    expect(index.ranks).toHaveLength(4);
    const sizes = (): number[] => decisions.map(({ decision }) => decision?.blockSize ?? 0);
    await vi.waitFor(() => expect(new Set(sizes())).toEqual(new Set([16, 64])));
    call.cancel();
  });

  it('are refused with what there is when a call could mean either', async () => {
    await using fleet = await Fleet.start();
    const { caller, route } = await setUp(fleet);
    await expect(route({})).rejects.toMatchObject(AMBIGUOUS);
    await expect(route({ model: 'medium' })).rejects.toMatchObject(AMBIGUOUS);
    const fields = { endpoint: ENDPOINT, tokenIdsLe: promptLe };
    await expect(caller.ask('overlap', OverlapRequest.create(fields))).rejects.toMatchObject(
      AMBIGUOUS,
    );
    await expect(
      caller.ask('potentialLoads', PotentialLoadsRequest.create(fields)),
    ).rejects.toMatchObject(AMBIGUOUS);
    await expect(generated(caller, 'medium')).rejects.toMatchObject(AMBIGUOUS);
    await expect(generated(caller, '')).rejects.toMatchObject(AMBIGUOUS);
    await expect(generated(caller, 'small', Buffer.alloc(7))).rejects.toMatchObject({
      code: 3,
      details: 'token_ids_le has 7 bytes, which is no multiple of 4',
    });
    await expect(route({ blockSize: 17 })).rejects.toMatchObject({
      code: 3,
      details: containing('has blocks of 17 tokens; there are blocks of 16, 64'),
    });
    await expect(route({ model: 'small', blockSize: 64 })).rejects.toMatchObject({
      code: 3,
      details: `model "small" of ${ENDPOINT} has blocks of 16 tokens, not of 64`,
    });
  });

  it('need not be named when there is one, or by callers that send their block size as ever', async () => {
    await using fleet = await Fleet.start();
    const small = await worker(fleet, 'small');
    const app = await fleet.routerOfAnySize();
    using caller = new GrpcCaller(app.grpcPort);
    const fields = { endpoint: ENDPOINT, tokenIdsLe: promptLe };
    const unnamed = await caller.ask('overlap', OverlapRequest.create(fields));
    expect(unnamed.blockSize).toBe(16);
    expect(await generated(caller, 'whatever')).toEqual(['small']);
    const blockHashesLe = hashesOf(16);
    const old = { requestId: 'old', endpoint: ENDPOINT, blockHashesLe, blockSize: 16 };
    const { instanceId } = await caller.ask('route', RouteRequest.create(old));
    expect(instanceId).toBe(small);
  });

  it('are not taken for each other when the workers of one are gone', async () => {
    await using fleet = await Fleet.start();
    const [runtime] = [await workerRuntime(fleet, 'small'), await worker(fleet, 'large')];
    const app = await fleet.routerOfAnySize();
    using caller = new GrpcCaller(app.grpcPort);
    expect(await generated(caller, 'small')).toEqual(['small']);
    expect(await generated(caller, 'large')).toEqual(['large']);
    await runtime.close();
    await runtime.discovery.close();
    const gone = { code: 14, details: containing('serves model "small" now; retry later') };
    await vi.waitFor(
      async () => expect(generated(caller, 'small')).rejects.toMatchObject(gone),
      10_000,
    );
    const fields = { endpoint: ENDPOINT, model: 'small', requestId: 'r', promptTokens: 9 };
    await expect(caller.ask('route', RouteRequest.create(fields))).rejects.toMatchObject(gone);
    await worker(fleet, 'small');
    await vi.waitFor(async () => expect(await generated(caller, 'small')).toEqual(['small']), {
      timeout: 10_000,
    });
  });

  it('include those of engines that register nowhere', async () => {
    await using fleet = await Fleet.start();
    const { caller, workers, route } = await setUp(fleet);
    const engine = { workerId: 77n, endpoint: ENDPOINT, modelName: 'medium', blockSize: 32 };
    await caller.ask('registerWorker', RegisterWorkerRequest.create(engine));
    expect(await route({ model: 'medium' })).toMatchObject({ instanceId: 77n });
    expect(workers.small).toContain((await route({ model: 'small' })).instanceId);
    await expect(route({})).rejects.toMatchObject({
      details: containing('blocks of 16, 32, 64 tokens'),
    });
    // Without a size it has that of its model's workers.
    const same = { workerId: 78n, endpoint: ENDPOINT, modelName: 'large' };
    await caller.ask('registerWorker', RegisterWorkerRequest.create(same));
    const { workers: registered } = await caller.ask('listWorkers', { endpoint: ENDPOINT });
    expect(registered.map(({ blockSize }) => blockSize)).toEqual([32, 64]);
  });
});

describe('two routers of two models', () => {
  it('know at the start what the other has booked for each, and forget it when it dies', async () => {
    await using fleet = await Fleet.start();
    const shared = ['--event-plane', 'direct', '--router-replica-sync'];
    const first = await setUp(fleet, ...shared);
    await first.route({ model: 'small' });
    for (let count = 0; count < 3; count += 1) await first.route({ model: 'large' });
    const second = await fleet.routerOfAnySize(...shared);
    using caller = new GrpcCaller(second.grpcPort);
    const bookedFor = async (model: string): Promise<number> => {
      const query = PotentialLoadsRequest.create({ endpoint: ENDPOINT, model, promptTokens: 1 });
      const { loads } = await caller.ask('potentialLoads', query);
      return loads.reduce((sum, { activeRequests }) => sum + activeRequests, 0);
    };
    await vi.waitFor(
      async () => expect([await bookedFor('small'), await bookedFor('large')]).toEqual([1, 3]),
      { timeout: 10_000 },
    );
    await first.route({ model: 'large' });
    await vi.waitFor(async () => expect(await bookedFor('large')).toBe(4));
    await first.app.close();
    await vi.waitFor(
      async () => expect([await bookedFor('small'), await bookedFor('large')]).toEqual([0, 0]),
      { timeout: 10_000 },
    );
  });
});

describe('two models that share their workers', () => {
  const sharing = async (fleet: Fleet, ...flags: readonly string[]) => {
    const workers = [await worker(fleet, 'small', 'tiny'), await worker(fleet, 'small', 'tiny')];
    const app = await fleet.routerOfAnySize(...flags);
    const caller = new GrpcCaller(app.grpcPort);
    const query = QueryIndexRequest.create({ endpoint: ENDPOINT });
    await vi.waitFor(async () =>
      expect((await caller.ask('queryIndex', query)).ranks).toHaveLength(2),
    );
    return { app, workers, ...callsOf(caller) };
  };

  it('have sessions of their own', async () => {
    await using fleet = await Fleet.start();
    const { caller, workers, route, free } = await sharing(
      fleet,
      ...['--router-session-affinity-ttl-secs', '600'],
    );
    const [first = 0n, second = 0n] = workers;
    const run = async (model: string, excludedInstanceIds: bigint[] = []): Promise<bigint> => {
      const { id, instanceId } = await route({ model, sessionId: 's', excludedInstanceIds });
      await caller.ask('prefillDone', { requestId: id, endpoint: ENDPOINT });
      await free(id);
      return instanceId;
    };
    expect(await run('small', [second])).toBe(first);
    // Were it the same session, it would be bound to the first worker, or unbind it.
    expect(await run('tiny', [first])).toBe(second);
    expect([await run('small'), await run('tiny')]).toEqual([first, second]);
  });

  it('have queues, classes and limits of their own', async () => {
    await using fleet = await Fleet.start();
    const file = join(fleet.folder, 'policy.yaml');
    await writeFile(file, POLICIES);
    const { app, workers, route, free } = await sharing(fleet, '--router-policy-config', file);
    const busy = await Promise.all(workers.map((pinnedInstanceId) => route({ pinnedInstanceId })));
    const settled: string[] = [];
    const waiting = [...SMALL_WAITS, ...TINY_WAITS].map(async (model) => {
      await route({ model });
      settled.push(model);
    });
    const pendingOf = async (model: string): Promise<number> => {
      const answer = await fetch(`http://127.0.0.1:${app.systemPort}/metrics`);
      const line = new RegExp(
        `^dynamo_frontend_router_queue_pending_requests\\{.*model="${model}".*\\} (\\d+)$`,
        'm',
      );
      return Number(line.exec(await answer.text())?.[1]);
    };
    // One may wait for each worker; the next one is refused.
    await vi.waitFor(async () => expect(await pendingOf('small')).toBe(SMALL_WAITS.length));
    await expect(route({ model: 'small' })).rejects.toMatchObject({ code: RESOURCE_EXHAUSTED });
    await vi.waitFor(async () => expect(await pendingOf('tiny')).toBe(TINY_WAITS.length));
    // Nobody serves it: it waits with those that name no model, and has no series of its own.
    const unknown = route({ model: 'made up' });
    await vi.waitFor(async () => expect(await pendingOf(ENDPOINT)).toBe(1));
    expect(await pendingOf('made up')).toBeNaN();
    expect(settled).toEqual([]);
    // There is room again.
    await Promise.all(busy.map(({ id }) => free(id)));
    await vi.waitFor(() => expect(settled.length).toBeGreaterThan(0));
    await app.close();
    await Promise.allSettled([...waiting, unknown]);
  });
});

const RESOURCE_EXHAUSTED = 8;
const SMALL_WAITS = ['small', 'small'];
const TINY_WAITS = ['tiny', 'tiny', 'tiny', 'tiny'];

/** Whoever computes more than a few tokens is busy; of `small`, one request may wait for each worker. */
const POLICIES = `default_policy_family: any
policy_classes:
  - {name: every, policy_family: any, cache_bucket: all, queue_policy: fcfs, quantum: 512, prefill_busy_threshold: 8}
uncached_isl_buckets: [{min_tokens: 0, bucket: all}]
models:
  small:
    default_policy_family: any
    uncached_isl_buckets: [{min_tokens: 0, bucket: all}]
    policy_classes:
      - {name: few, policy_family: any, cache_bucket: all, queue_policy: fcfs, quantum: 512, prefill_busy_threshold: 8, request_queue_limit_per_worker: 1}
`;

const containing = (text: string): string => expect.stringContaining(text) as string;

async function generated(
  caller: GrpcCaller,
  model: string,
  tokenIdsLe = promptLe,
): Promise<readonly string[]> {
  const request = GenerateRequest.create({ model, tokenIdsLe });
  const texts: string[] = [];
  const call: AsyncIterable<GenerateResponse> = caller.engine.generate(request);
  for await (const item of call) texts.push(item.text ?? '');
  return texts;
}

function hashesOf(blockSize: number): Buffer {
  return Buffer.from(hashesToBytes(computeBlockHashForSeq(PROMPT, blockSize)));
}
