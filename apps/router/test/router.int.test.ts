import { once } from 'node:events';

import { Client as GrpcClient, Metadata, credentials } from '@grpc/grpc-js';
import { describe, expect, it, vi } from 'vitest';

import { DynamoError, asInstanceId } from '@dynamo-ts/base';
import { RouteRequest, RouterServiceClient } from '@dynamo-ts/protocol';
import type { RouteResponse } from '@dynamo-ts/protocol';
import { Dispatcher, LocalRouter, RemoteRouter } from '@dynamo-ts/routing';
import type { DispatchRequest, DispatchedStream } from '@dynamo-ts/routing';
import { Context } from '@dynamo-ts/runtime';
import type { Client, RawHandler } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

import type { RouterApp } from '../src/app.ts';
import { ENDPOINT, Fleet } from './testing-fleet.ts';

const answering =
  (text: string): RawHandler =>
  (_request, sink) => {
    sink.write(new TextEncoder().encode(text));
    sink.end();
  };

const refusing: RawHandler = () => {
  throw new DynamoError('capacity.worker_overloaded', 'full');
};

async function grpcRoute(app: RouterApp, request: Partial<RouteRequest>): Promise<RouteResponse> {
  const address = `127.0.0.1:${app.grpcPort}`;
  const client = new RouterServiceClient(address, credentials.createInsecure());
  const full = RouteRequest.create({ requestId: 'r', endpoint: ENDPOINT, ...request });
  try {
    return await new Promise((resolve, reject) => {
      client.route(full, new Metadata(), (error, answer) => {
        if (error === null) resolve(answer);
        else reject(error);
      });
    });
  } finally {
    client.close();
  }
}

/** Names of the services that a tool such as grpcurl finds. */
async function reflectedServices(app: RouterApp): Promise<string> {
  const client = new GrpcClient(`127.0.0.1:${app.grpcPort}`, credentials.createInsecure());
  const asIs = (bytes: Buffer): Buffer => bytes;
  const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
  const call = client.makeBidiStreamRequest(path, asIs, asIs, new Metadata());
  // ServerReflectionRequest { list_services: "" }
  call.write(Buffer.of(0x3a, 0x00));
  const [answer] = (await once(call, 'data')) as [Buffer];
  call.end();
  client.close();
  return answer.toString('latin1');
}

async function statusOf(app: RouterApp, path: string): Promise<{ code: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${app.systemPort}${path}`);
  return { code: response.status, text: await response.text() };
}

async function textOf(stream: DispatchedStream): Promise<string> {
  const items: Uint8Array[] = [];
  for (let batch = await stream.nextBatch(); batch; batch = await stream.nextBatch())
    items.push(...batch);
  return Buffer.concat(items).toString();
}

describe('router service', () => {
  it('answers over gRPC with health, reflection and metrics', async () => {
    await using fleet = await Fleet.start();
    const worker = await fleet.worker(answering('ok'));
    const app = await fleet.router('--router-mode', 'round-robin');
    const answer = await vi.waitFor(() => grpcRoute(app, { promptTokens: 9 }));
    expect(answer).toMatchObject({ instanceId: worker.instanceId, reason: 'only' });
    expect(await reflectedServices(app)).toContain('dynamo.router.v1.RouterService');
    expect(await statusOf(app, '/health')).toMatchObject({ code: 200 });
    const metrics = (await statusOf(app, '/metrics')).text;
    expect(metrics).toMatch(/dynamo_component_router_requests_started_total\{[^}]*\} 1/);
    expect(metrics).toMatch(/dynamo_component_router_active_requests\{[^}]*\} 1/);
  });

  it('maps its errors to gRPC statuses that carry the code', async () => {
    await using fleet = await Fleet.start();
    const app = await fleet.router('--router-mode', 'round-robin');
    await expect(grpcRoute(app, {})).rejects.toMatchObject({ code: 14 });
    const failure = await grpcRoute(app, { routerMode: 'best' }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 3 });
    expect((failure as { metadata: Metadata }).metadata.get('dynamo-error-code')).toEqual([
      'request.invalid',
    ]);
  });

  it('refuses a port that is taken', async () => {
    await using fleet = await Fleet.start();
    const app = await fleet.router('--router-mode', 'round-robin');
    await expect(fleet.router('--router-grpc-port', String(app.grpcPort))).rejects.toMatchObject({
      code: 'config.port_in_use',
    });
  });
});

describe('workers over the mux', () => {
  it('cost the client nothing when they die before the first token', async () => {
    await using fleet = await Fleet.start();
    const reached = Promise.withResolvers<undefined>();
    const dying = await fleet.worker(() => reached.resolve(undefined));
    const frontend = await localFrontend(fleet);
    const dispatched = frontend.dispatch();
    await reached.promise;
    const good = await fleet.worker(answering('ok'));
    await vi.waitFor(() => expect(frontend.client.instanceIds()).toHaveLength(2));
    await dying.close();
    const stream = await dispatched;
    expect(stream.instanceId).toBe(good.instanceId);
    expect(await textOf(stream)).toBe('ok');
    expect(frontend.router.activeRequests).toBe(0);
    await frontend.client.close();
  });

  it('leave a migratable error and no booking when they die in mid-answer', async () => {
    await using fleet = await Fleet.start();
    const dying = await fleet.worker((_request, sink) => void sink.write(Buffer.from('first')));
    const frontend = await localFrontend(fleet);
    const stream = await frontend.dispatch();
    expect(await stream.nextBatch()).toHaveLength(1);
    expect(frontend.router.inFlight(dying.instanceId)).toBe(1);
    const rest = expect(stream.nextBatch()).rejects.toMatchObject({ retryable: true });
    await dying.close();
    await rest;
    expect(frontend.router.activeRequests).toBe(0);
    await frontend.client.close();
  });
});

interface LocalFrontend {
  readonly client: Client;
  readonly router: LocalRouter;
  readonly dispatch: () => Promise<DispatchedStream>;
}

async function localFrontend(fleet: Fleet): Promise<LocalFrontend> {
  const runtime = await fleet.runtime();
  const client = await runtime.endpoint(ENDPOINT).client();
  await client.waitForInstances();
  const router = new LocalRouter({ instances: client, routerId: runtime.instanceId });
  const dispatcher = new Dispatcher({ workers: client, router, logger: nullLogger });
  return { client, router, dispatch: () => dispatcher.dispatch(emptyRequest()) };
}

function emptyRequest(): DispatchRequest {
  return {
    payload: new Uint8Array(0),
    context: new Context(),
    blockHashes: new BigUint64Array(0),
    blockSize: 16,
    promptTokens: 1,
  };
}

describe('a frontend with the router service', () => {
  it('gets every request answered while workers refuse and routers die', async () => {
    await using fleet = await Fleet.start();
    await fleet.worker(refusing);
    const good = await fleet.worker(answering('ok'));
    const routers = [
      await fleet.router('--router-mode', 'round-robin'),
      await fleet.router('--router-mode', 'round-robin'),
    ];
    const runtime = await fleet.runtime();
    const client = await runtime.endpoint(ENDPOINT).client();
    const fallback = new LocalRouter({ instances: client, routerId: runtime.instanceId });
    const router = await RemoteRouter.connect({
      runtime,
      namespace: 'dynamo',
      instances: client,
      fallback,
      logger: nullLogger,
    });
    const dispatcher = new Dispatcher({ workers: client, router, logger: nullLogger });
    await vi.waitFor(() => expect(client.instanceIds()).toHaveLength(2));
    const ask = async (): Promise<void> => {
      const stream = await dispatcher.dispatch(emptyRequest());
      expect(stream.instanceId).toBe(asInstanceId(good.instanceId));
      expect(await textOf(stream)).toBe('ok');
    };
    await Promise.all(Array.from({ length: 20 }, ask));
    const active = async (): Promise<string[]> => {
      const texts = await Promise.all(routers.map((app) => statusOf(app, '/metrics')));
      return texts.map(({ text }) => /active_requests\{[^}]*\} (\d+)/.exec(text)?.[1] ?? 'none');
    };
    await vi.waitFor(async () => expect(await active()).toEqual(['0', '0']), { timeout: 10_000 });
    await routers[0]?.close();
    await Promise.all(Array.from({ length: 20 }, ask));
    await routers[1]?.close();
    await Promise.all(Array.from({ length: 20 }, ask));
    expect(fallback.activeRequests).toBe(0);
    await router.close();
    await client.close();
  });

  it('leaves no booking behind when it dies', async () => {
    await using fleet = await Fleet.start();
    await fleet.worker(answering('ok'));
    const app = await fleet.router('--router-mode', 'round-robin');
    const runtime = await fleet.runtime();
    const client = await runtime.endpoint(ENDPOINT).client();
    const router = await RemoteRouter.connect({
      runtime,
      namespace: 'dynamo',
      instances: client,
      fallback: new LocalRouter({ instances: client, routerId: runtime.instanceId }),
      logger: nullLogger,
    });
    const { context, ...request } = emptyRequest();
    await vi.waitFor(async () => {
      const placement = await router.route(
        { ...request, bookingId: 'b', excluded: new Set() },
        context,
      );
      expect(placement.reason).toBe('only');
    });
    const active = async (): Promise<string | undefined> =>
      /active_requests\{[^}]*\} (\d+)/.exec((await statusOf(app, '/metrics')).text)?.[1];
    expect(await active()).toBe('1');
    // All that the router sees of a process that dies: its connections end, and nothing comes for the grace time.
    await runtime.requestPlane.close();
    await vi.waitFor(async () => expect(await active()).toBe('0'), 15_000);
  }, 20_000);
});

describe('a router without a configured block size', () => {
  it('has a router for each size that callers name, and shows how far each is', async () => {
    await using fleet = await Fleet.start();
    const worker = await fleet.worker(answering('ok'));
    const app = await fleet.routerOfAnySize();
    for (const blockSize of [16, 64])
      await vi.waitFor(async () => {
        const { instanceId } = await grpcRoute(app, { blockSize });
        expect(instanceId).toBe(worker.instanceId);
      });
    await expect(grpcRoute(app, {})).rejects.toThrow(/have blocks of 16, 64 tokens: name one/);
    expect(JSON.parse((await statusOf(app, '/health')).text)).toMatchObject({
      routers: { [ENDPOINT]: { block_size: 16 }, [`${ENDPOINT}/64`]: { block_size: 64 } },
    });
  });
});

describe('the calls as JSON over HTTP', () => {
  it('are those of the contract', async () => {
    await using fleet = await Fleet.start();
    const worker = await fleet.worker(answering('ok'));
    const app = await fleet.router('--router-http-port', '0', '--router-http-host', '127.0.0.1');
    const post = async (
      path: string,
      body: unknown,
    ): Promise<{ status: number; json: unknown }> => {
      const url = `http://127.0.0.1:${app.httpPort}${path}`;
      const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
      return { status: response.status, json: await response.json() };
    };
    const request = { request_id: 'r', endpoint: ENDPOINT, prompt_tokens: 9 };
    const routed = await vi.waitFor(async () => {
      const answer = await post('/route', request);
      expect(answer.status).toBe(200);
      return answer;
    });
    expect(routed.json).toMatchObject({ instance_id: String(worker.instanceId), reason: 'only' });
    const registration = { worker_id: '5', endpoint: ENDPOINT, address: 'http://e', dp_size: 2 };
    expect(await post('/register_worker', registration)).toMatchObject({ status: 200 });
    expect((await post('/list_workers', {})).json).toMatchObject({
      workers: [{ worker_id: '5', address: 'http://e', dp_size: 2 }],
    });
    expect(await post('/free', request)).toEqual({ status: 200, json: {} });
    expect(await post('/route', { ...request, endpoint: 'nonsense' })).toMatchObject({
      status: 400,
    });
    expect(await post('/route', { ...request, pinned_instance_id: 'x' })).toMatchObject({
      status: 400,
    });
    expect(await post('/nothing', {})).toMatchObject({ status: 404 });
    expect(await post('/get_decision', { decision_id: 'x' })).toMatchObject({ status: 404 });
    const health = await statusOf(app, '/health');
    expect(JSON.parse(health.text)).toMatchObject({
      status: 'ready',
      routers: { [ENDPOINT]: { restored_ranks: 0 } },
    });
    expect((await statusOf(app, '/debug/decisions')).text).toContain('"request_id":"r"');
  });
});
