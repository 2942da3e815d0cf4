import { describe, expect, it, vi } from 'vitest';

import { DynamoError } from '@dynamo-ts/base';
import { GenerateRequest, GenerateResponse } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { RawHandler } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

import { Dispatcher } from './dispatcher.ts';
import type { DispatchRequest, DispatcherOptions } from './dispatcher.ts';
import { LocalRouter } from './local-router.ts';
import type { PlacementRouter, RequestOutcome } from './placement-router.ts';
import { TestCluster } from './testing-cluster.ts';

function open(
  cluster: TestCluster,
  options: Partial<DispatcherOptions> = {},
): { dispatcher: Dispatcher; router: LocalRouter } {
  const { client, caller } = cluster;
  const router = new LocalRouter({ instances: client, routerId: caller.instanceId });
  const logger = nullLogger;
  return { dispatcher: new Dispatcher({ workers: client, router, logger, ...options }), router };
}

function request(): DispatchRequest {
  return {
    payload: new Uint8Array(),
    context: new Context(),
    blockHashes: new BigUint64Array(),
    blockSize: 16,
    promptTokens: 3,
  };
}

describe('Dispatcher and its router', () => {
  it('says where a request would go without sending it', async () => {
    await using cluster = await TestCluster.start();
    const handler = vi.fn<RawHandler>();
    const { id } = await cluster.worker(handler);
    const { dispatcher, router } = open(cluster);
    expect(await dispatcher.advise(request())).toMatchObject({ instanceId: id });
    expect(router.activeRequests).toBe(0);
    expect(handler).not.toHaveBeenCalled();
  });

  it('sends the chosen rank along, and gives the router the outcome', async () => {
    await using cluster = await TestCluster.start();
    const payloads: Uint8Array[] = [];
    const response = GenerateResponse.encode(
      GenerateResponse.fromPartial({ tokenIdsLe: Buffer.alloc(8 * 4) }),
    ).finish();
    await cluster.worker(({ payload }, sink) => {
      payloads.push(payload);
      sink.write(response);
      sink.write(response);
      sink.end();
    });
    const local = new LocalRouter({
      instances: cluster.client,
      routerId: cluster.caller.instanceId,
    });
    const freed: (RequestOutcome | undefined)[] = [];
    let blocks = 0;
    const router: PlacementRouter = {
      route: async (each, context) => ({ ...(await local.route(each, context)), dpRank: 3 }),
      prefillDone: () => undefined,
      outputBlock: () => void (blocks += 1),
      free: (_id, outcome) => void freed.push(outcome),
      close: () => local.close(),
      [Symbol.asyncDispose]: () => local.close(),
    };
    const { dispatcher } = open(cluster, { router });
    const stream = await dispatcher.dispatch(request());
    expect(stream.placement.dpRank).toBe(3);
    stream.report({ cachedTokens: 2 });
    while ((await stream.nextBatch()) !== undefined) continue;
    expect(GenerateRequest.decode(payloads[0] ?? new Uint8Array()).routing?.dpRank).toBe(3);
    expect(freed).toMatchObject([{ kind: 'completed', cachedTokens: 2, outputTokens: 16 }]);
    expect(blocks).toBe(1);
  });

  it('does not count an answer without a token as completed', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker((_request, sink) => {
      sink.end();
    });
    const { dispatcher, router } = open(cluster);
    const free = vi.spyOn(router, 'free');
    await expect(dispatcher.dispatch(request())).rejects.toMatchObject({
      code: 'backend.stream_incomplete',
    });
    expect(free.mock.calls[0]?.[1]).toMatchObject({
      kind: 'failed',
      errorCode: 'backend.stream_incomplete',
    });
  });

  it('tells the router why a worker was given up', async () => {
    await using cluster = await TestCluster.start();
    await cluster.worker(() => {
      throw new DynamoError('capacity.worker_overloaded', 'full');
    });
    const { dispatcher, router } = open(cluster);
    const free = vi.spyOn(router, 'free');
    await expect(dispatcher.dispatch(request())).rejects.toMatchObject({
      code: 'capacity.pool_exhausted',
    });
    expect(free).toHaveBeenCalledWith(expect.any(String), {
      kind: 'failed',
      errorCode: 'capacity.worker_overloaded',
    });
  });
});
