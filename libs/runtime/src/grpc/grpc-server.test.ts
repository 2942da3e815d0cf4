import { DynamoError, createInstanceId } from '@dynamo-ts/base';
import {
  EngineServiceClient,
  GenerateRequest,
  GenerateResponse,
  HealthCheckResponse_ServingStatus,
  HealthClient,
  RouterServiceService,
  tokenIdsFromBytes,
} from '@dynamo-ts/protocol';
import { nullLogger } from '@dynamo-ts/telemetry';
import { Client, Metadata, credentials } from '@grpc/grpc-js';
import { describe, expect, it, vi } from 'vitest';

import { GrpcRequestPlane } from '../request-plane/mux/grpc-request-plane.ts';
import type { RawHandler } from '../request-plane/request-plane.ts';
import { createGrpcServer } from './grpc-server.ts';

const insecure = credentials.createInsecure();

async function worker(handler: RawHandler): Promise<{ plane: GrpcRequestPlane; address: string }> {
  const plane = new GrpcRequestPlane({ logger: nullLogger, host: '127.0.0.1' });
  const endpoint = { namespace: 'dynamo', component: 'backend', endpoint: 'generate' };
  await plane.serve({ endpoint, instanceId: createInstanceId() }, handler);
  return { plane, address: (await plane.listen()).address };
}

describe('plain gRPC on a worker', () => {
  it('answers EngineService.Generate beside the mux', async () => {
    const { plane, address } = await worker((request, sink) => {
      const { tokenIdsLe } = GenerateRequest.decode(request.payload);
      for (const id of tokenIdsFromBytes(tokenIdsLe)) {
        sink.write(
          GenerateResponse.encode(GenerateResponse.fromPartial({ text: `token ${id}` })).finish(),
        );
      }
      sink.end();
    });
    await using _plane = plane;
    const client = new EngineServiceClient(address, insecure);
    const request = GenerateRequest.fromPartial({
      tokenIdsLe: new Uint8Array(new Uint32Array([5, 6]).buffer),
    });
    const texts: (string | undefined)[] = [];
    for await (const response of client.generate(request)) {
      texts.push((response as GenerateResponse).text);
    }
    expect(texts).toEqual(['token 5', 'token 6']);
    client.close();
  });

  it('takes requests for the models that are served, and for no other', async () => {
    await using plane = new GrpcRequestPlane({ logger: nullLogger, host: '127.0.0.1' });
    for (const model of ['a', 'b']) {
      const endpoint = { namespace: 'dynamo', component: model, endpoint: 'generate' };
      await plane.serve({ endpoint, instanceId: createInstanceId(), model }, (_request, sink) => {
        sink.write(GenerateResponse.encode(GenerateResponse.fromPartial({ text: model })).finish());
        sink.end();
      });
    }
    const client = new EngineServiceClient((await plane.listen()).address, insecure);
    const ask = async (model: string, endpoint?: string): Promise<string | undefined> => {
      const metadata = new Metadata();
      if (endpoint !== undefined) metadata.set('dynamo-endpoint', endpoint);
      let text: string | undefined;
      for await (const response of client.generate(GenerateRequest.create({ model }), metadata)) {
        text = (response as GenerateResponse).text;
      }
      return text;
    };
    expect(await ask('b')).toBe('b');
    expect(await ask('')).toBe('a');
    await expect(ask('c')).rejects.toMatchObject({
      code: 5,
      details: expect.stringContaining('served: a, b') as unknown,
    });
    await expect(ask('a', 'dynamo.b.generate')).rejects.toMatchObject({ code: 5 });
    await expect(ask('a', 'dynamo.x.generate')).rejects.toMatchObject({ code: 5 });
    client.close();
  });

  it('gives errors a status and a code, and kills what its caller cancels', async () => {
    let killed = false;
    const { plane, address } = await worker((request, sink) => {
      request.context.killed.addEventListener('abort', () => {
        killed = true;
      });
      const { model } = GenerateRequest.decode(request.payload);
      if (model === 'full') throw new DynamoError('capacity.worker_overloaded', 'at capacity');
      sink.write(new Uint8Array());
    });
    await using _plane = plane;
    const client = new EngineServiceClient(address, insecure);
    const failed = client.generate(GenerateRequest.fromPartial({ model: 'full' }));
    const error = await new Promise((resolve) => {
      failed.on('error', resolve);
      failed.resume();
    });
    expect(error).toMatchObject({ code: 8, details: 'at capacity' });
    expect((error as { metadata: Metadata }).metadata.get('dynamo-error-code')).toEqual([
      'capacity.worker_overloaded',
    ]);
    const left = client.generate(GenerateRequest.fromPartial({}));
    left.on('error', () => undefined);
    left.once('data', () => {
      left.cancel();
    });
    await vi.waitFor(() => {
      expect(killed).toBe(true);
    });
    client.close();
  });

  it('tells a deadline that has passed from a caller that gave up', async () => {
    const reasons: unknown[] = [];
    const { plane, address } = await worker((request, sink) => {
      const { killed } = request.context;
      killed.addEventListener('abort', () => void reasons.push(killed.reason));
      sink.write(new Uint8Array());
    });
    await using _plane = plane;
    const client = new EngineServiceClient(address, insecure);
    const request = GenerateRequest.fromPartial({});
    const late = client.generate(request, new Metadata(), { deadline: Date.now() + 1000 });
    const status = new Promise((resolve) => late.on('error', resolve));
    late.resume();
    expect(await status).toMatchObject({ code: 4 });
    const left = client.generate(request, new Metadata(), { deadline: Date.now() + 60_000 });
    left.on('error', () => undefined);
    left.once('data', () => {
      left.cancel();
    });
    await vi.waitFor(() => {
      expect(reasons).toMatchObject([{ reason: 'deadline' }, { reason: 'client-gone' }]);
    });
    client.close();
  });

  it('answers health checks and lists its services by reflection', async () => {
    await using server = await createGrpcServer({
      host: '127.0.0.1',
      services: [{ definition: RouterServiceService, implementation: {} }],
      health: true,
      reflection: true,
    });
    const health = new HealthClient(server.address, insecure);
    const check = (service: string): Promise<unknown> =>
      new Promise((resolve) => {
        health.check({ service }, (error, response) => {
          resolve(error?.code ?? response.status);
        });
      });
    expect(await check('')).toBe(HealthCheckResponse_ServingStatus.SERVING);
    expect(await check('nobody')).toBe(5);
    expect(await check('dynamo.router.v1.RouterService')).toBe(
      HealthCheckResponse_ServingStatus.SERVING,
    );
    server.health.set('backend', false);
    expect(await check('backend')).toBe(HealthCheckResponse_ServingStatus.NOT_SERVING);
    health.close();
    const services = await listServices(server.address);
    expect(services).toContain('dynamo.router.v1.RouterService');
    expect(services).toContain('grpc.health.v1.Health');
    expect(services).not.toContain('dynamo.llm.v1.EngineService');
  });
});

/** Asks `grpc.reflection.v1` for its services; the answer's names are readable in its bytes. */
async function listServices(address: string): Promise<string> {
  const client = new Client(address, insecure);
  const same = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest(
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    same,
    same,
    new Metadata(),
  );
  // ServerReflectionRequest { list_services: "" }
  call.write(Buffer.from([0x3a, 0x00]));
  const answer = await new Promise<Buffer>((resolve, reject) => {
    call.once('data', resolve);
    call.once('error', reject);
  });
  call.end();
  client.close();
  return answer.toString('latin1');
}
