import {
  FreeRequest,
  GenerateRequest,
  GenerateResponse,
  ListWorkersRequest,
  OverlapRequest,
  PotentialLoadsRequest,
  PrefillDoneRequest,
  QueryIndexRequest,
  RegisterWorkerRequest,
  RenewRequest,
  RequestOutcome,
  RouteRequest,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { encodePayload, decodePayload, Context } from '@dynamo-ts/runtime';
import type { RawHandler } from '@dynamo-ts/runtime';
import { describe, expect, it, vi } from 'vitest';

import { GrpcCaller } from './grpc-caller.ts';
import { TestEngine, tokens } from './testing-engine.ts';
import { ENDPOINT, Fleet } from './testing-fleet.ts';

const PROMPT = Uint32Array.from(tokens(100));
const promptLe = Buffer.from(tokenIdsToBytes(PROMPT));

/** Answers with the number of tokens that it got, and says that it had 32 of them in cache. */
const counting: RawHandler = ({ payload }, sink) => {
  const promptTokens = tokenIdsFromBytes(GenerateRequest.decode(payload).tokenIdsLe).length;
  const usage = { promptTokens, completionTokens: 1, cachedTokens: 32 };
  sink.write(GenerateResponse.encode(GenerateResponse.fromPartial({ text: 'a', usage })).finish());
  sink.end();
};

const route = (requestId: string, extra: Partial<RouteRequest> = {}): RouteRequest =>
  RouteRequest.create({ requestId, endpoint: ENDPOINT, tokenIdsLe: promptLe, ...extra });

describe('the public gRPC port', () => {
  it('routes the same prompt to the same worker, and says why', async () => {
    await using fleet = await Fleet.start();
    for (let count = 0; count < 3; count += 1) await fleet.worker(counting);
    const app = await fleet.router();
    using caller = new GrpcCaller(app.grpcPort);
    const { decisions, call } = caller.subscribe(ENDPOINT);
    const first = await vi.waitFor(async () => caller.ask('route', route('first')));
    await caller.ask(
      'prefillDone',
      PrefillDoneRequest.create({ requestId: 'first', endpoint: ENDPOINT }),
    );
    const outcome = RequestOutcome.create({ kind: 'completed', cachedTokens: 0, outputTokens: 5 });
    await caller.ask(
      'free',
      FreeRequest.create({ requestId: 'first', endpoint: ENDPOINT, outcome }),
    );
    const second = await caller.ask('route', route('second'));
    expect(second).toMatchObject({
      instanceId: first.instanceId,
      overlapBlocks: 6,
      cachedTokens: 96,
    });
    await vi.waitFor(() => expect(decisions).toHaveLength(1));
    const { decisionId } = first;
    expect(decisions[0]?.decision).toMatchObject({
      decisionId,
      requestId: 'first',
      mode: 'kv',
      outcome: { kind: 'completed', outputTokens: 5 },
    });
    const { decision } = await caller.ask('getDecision', { decisionId: second.decisionId });
    expect(decision).toMatchObject({ requestId: 'second', islTokens: 100, blockSize: 16 });
    expect(decision?.candidates).toHaveLength(3);
    const { decisions: latest } = await caller.ask('listDecisions', {
      endpoint: '',
      limit: 10,
    });
    expect(latest.map((each) => each.requestId)).toEqual(['second', 'first']);
    const renewal = RenewRequest.create({ endpoint: ENDPOINT, requestIds: ['first', 'second'] });
    expect(await caller.ask('renew', renewal)).toEqual({ renewed: 1 });
    call.cancel();
  });

  it('refuses weights that cannot be with the code of the reason', async () => {
    await using fleet = await Fleet.start();
    await fleet.worker(counting);
    const app = await fleet.router();
    using caller = new GrpcCaller(app.grpcPort);
    const overrides = { routerConfigOverride: { routerTemperature: -1 } };
    await expect(caller.ask('route', route('r', overrides))).rejects.toMatchObject({
      code: 3,
      details: expect.stringContaining('router_temperature') as string,
    });
  });

  it('takes an engine that registers nowhere, hears its events and routes to it', async () => {
    await using fleet = await Fleet.start();
    await using engine = await TestEngine.start();
    const app = await fleet.router();
    using caller = new GrpcCaller(app.grpcPort);
    const worker = RegisterWorkerRequest.create({
      workerId: 77n,
      endpoint: ENDPOINT,
      address: 'http://engine:8000',
      blockSize: 16,
      totalKvBlocks: 1000,
      kvEventsEndpoints: { 0: engine.publisher.endpoint },
      replayEndpoints: { 0: engine.publisher.replayEndpoint },
    });
    await engine.store([1, 2, 3, 4], tokens(64));
    await caller.ask('registerWorker', worker);
    const overlapOf = async (): Promise<unknown> => {
      const request = OverlapRequest.create({ endpoint: ENDPOINT, tokenIdsLe: promptLe });
      return caller.ask('overlap', request);
    };
    const known = { blockSize: 16, workers: [{ workerId: 77n, dpRank: 0, deviceBlocks: 4 }] };
    await vi.waitFor(async () => expect(await overlapOf()).toMatchObject(known), 5000);
    const query = QueryIndexRequest.create({ endpoint: ENDPOINT, includeBlocks: true });
    expect(await caller.ask('queryIndex', query)).toMatchObject({
      ranks: [{ workerId: 77n, state: 'live', blocks: 4n, runs: [{ tier: 'device' }] }],
    });
    const loads = PotentialLoadsRequest.create({ endpoint: ENDPOINT, tokenIdsLe: promptLe });
    expect(await caller.ask('potentialLoads', loads)).toMatchObject({
      loads: [{ workerId: 77n, potentialPrefillTokens: 36n, activeRequests: 0 }],
    });
    const choice = await caller.ask('route', route('r'));
    expect(choice).toMatchObject({ instanceId: 77n, overlapBlocks: 4, cachedTokens: 64 });
    const listed = await caller.ask('listWorkers', ListWorkersRequest.create());
    expect(listed.workers).toMatchObject([{ workerId: 77n, address: 'http://engine:8000' }]);
    await engine.remove([4]);
    await vi.waitFor(async () =>
      expect(await overlapOf()).toMatchObject({ workers: [{ deviceBlocks: 3 }] }),
    );
    await caller.ask('unregisterWorker', { workerId: 77n, endpoint: ENDPOINT });
    await expect(caller.ask('route', route('late'))).rejects.toMatchObject({ code: 14 });
  });

  it('hears an engine that is idle when it is registered, and one that is registered again', async () => {
    await using fleet = await Fleet.start();
    await using engine = await TestEngine.start();
    const app = await fleet.router();
    using caller = new GrpcCaller(app.grpcPort);
    const worker = RegisterWorkerRequest.create({
      workerId: 78n,
      endpoint: ENDPOINT,
      kvEventsEndpoints: { 0: engine.publisher.endpoint },
      replayEndpoints: { 0: engine.publisher.replayEndpoint },
    });
    await caller.ask('registerWorker', worker);
    const isKnown = async (blocks: bigint): Promise<void> => {
      const query = QueryIndexRequest.create({ endpoint: ENDPOINT });
      expect(await caller.ask('queryIndex', query)).toMatchObject({
        ranks: [{ workerId: 78n, state: 'live', blocks }],
      });
    };
    await vi.waitFor(() => isKnown(0n), 5000);
    await engine.store([1, 2, 3, 4], tokens(64));
    await vi.waitFor(() => isKnown(4n), 5000);
    await caller.ask('registerWorker', worker);
    await vi.waitFor(() => isKnown(4n), 5000);
    await engine.remove([3, 4]);
    await vi.waitFor(() => isKnown(2n), 5000);
  });

  it('passes requests on to workers and their answers back, on both ways in', async () => {
    await using fleet = await Fleet.start();
    await fleet.worker(counting);
    const app = await fleet.router();
    using caller = new GrpcCaller(app.grpcPort);
    const items = await vi.waitFor(() => caller.generate(PROMPT));
    expect(items).toMatchObject([{ text: 'a', usage: { promptTokens: 100 } }]);
    await expect(caller.generate(PROMPT, 'dynamo.nobody.generate')).rejects.toMatchObject({
      code: 14,
    });
    const { decisions } = await vi.waitFor(async () => {
      const listed = await caller.ask('listDecisions', { endpoint: '', limit: 1 });
      expect(listed.decisions[0]?.outcome).toBeDefined();
      return listed;
    });
    expect(decisions[0]?.outcome).toMatchObject({ kind: 'completed', cachedTokens: 32 });
  });

  it("answers the reference's endpoints in its shapes", async () => {
    await using fleet = await Fleet.start();
    const worker = await fleet.worker(counting);
    await fleet.router();
    const frontend = await fleet.runtime();
    const ask = async (name: string, body: unknown): Promise<unknown> => {
      const client = await frontend.endpoint(`dynamo.router.${name}`).client();
      await client.waitForInstances();
      const [id = 0n as never] = client.instanceIds();
      const response = await client.openRaw(id, encodePayload(body), new Context());
      const items: unknown[] = [];
      for await (const item of response) items.push(decodePayload(item));
      await client.close();
      return items;
    };
    const token_ids = tokens(100);
    const generated = await vi.waitFor(() => ask('generate', { model: 'm', token_ids }));
    const usage = { prompt_tokens: 100, prompt_tokens_details: { cached_tokens: 32 } };
    expect(generated).toMatchObject([{ data: { text: 'a', completion_usage: usage } }]);
    expect(await ask('best_worker_id', { token_ids })).toEqual([{ data: worker.instanceId }]);
    expect(await ask('get_overlap_scores', { token_ids })).toMatchObject([
      {
        data: {
          block_size: 16,
          num_blocks: 6,
          workers: [{ worker_id: worker.instanceId, device_blocks: 6 }],
        },
      },
    ]);
    const placed = { method: 'new', worker_id: worker.instanceId, overlap_blocks: 6 };
    expect(
      await ask('generate', { method: 'new', tokens: token_ids, request_id: 'r' }),
    ).toMatchObject([{ data: placed }]);
    expect(await ask('generate', { method: 'mark_free', request_id: 'r' })).toEqual([
      { data: { method: 'free_marked', success: true } },
    ]);
    expect(await ask('generate', { method: 'potential_loads', tokens: token_ids })).toMatchObject([
      { data: { loads: [{ active_requests: 0 }], pending_count: 0 } },
    ]);
  });
});
