import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { createInstanceId } from '@dynamo-ts/base';
import { nullLogger } from '@dynamo-ts/telemetry';
import { SeverableProxy } from '@dynamo-ts/testing';
import { describe, expect, it } from 'vitest';

import { Context } from '../../context.ts';
import { requestPlaneContract } from '../request-plane.contract.ts';
import { GrpcRequestPlane } from './grpc-request-plane.ts';

requestPlaneContract('grpc', async () => {
  const proxy = await SeverableProxy.listen();
  const servers: GrpcRequestPlane[] = [];
  const client = new GrpcRequestPlane({ logger: nullLogger });
  const start = async (): Promise<GrpcRequestPlane> => {
    const server = new GrpcRequestPlane({
      logger: nullLogger,
      host: '127.0.0.1',
      advertisedHost: `127.0.0.1:${proxy.port}`,
    });
    servers.push(server);
    proxy.pointAt((await server.listen()).port);
    return server;
  };
  return {
    server: await start(),
    client,
    sever: () => proxy.sever(),
    restart: async () => {
      const server = await start();
      await proxy.restore();
      return server;
    },
    close: async () => {
      await client.close();
      await Promise.all(servers.map((server) => server.close()));
      await proxy.sever().catch(() => undefined);
    },
  };
});

describe('GrpcRequestPlane', () => {
  const endpoint = { namespace: 'test', component: 'backend', endpoint: 'generate' };

  it('serves on a unix socket', async () => {
    const path = `unix:/tmp/dynamo-mux-${process.pid}.sock`;
    await using plane = new GrpcRequestPlane({ logger: nullLogger, host: path });
    const instanceId = createInstanceId();
    const { transport } = await plane.serve({ endpoint, instanceId }, (request, sink) => {
      sink.write(request.payload);
      sink.end();
    });
    expect(transport.kind?.value).toBe(path);
    const response = await plane.open(
      { endpoint, instanceId, transport },
      { payload: new Uint8Array([7]), context: new Context() },
    );
    expect(await response.nextBatch()).toEqual([Buffer.from([7])]);
  });

  it('says in one line that its port is taken', async () => {
    await using first = new GrpcRequestPlane({ logger: nullLogger, host: '127.0.0.1' });
    const { port } = await first.listen();
    await using second = new GrpcRequestPlane({ logger: nullLogger, host: '127.0.0.1', port });
    await expect(second.listen()).rejects.toMatchObject({
      code: 'config.port_in_use',
      message: `could not bind to address: 127.0.0.1:${port} is in use; stop what listens there or choose another with --rpc-port`,
    });
  });

  it('rejects a payload over the limit before it is sent', async () => {
    await using plane = new GrpcRequestPlane({ logger: nullLogger, host: '127.0.0.1' });
    const instanceId = createInstanceId();
    const { transport } = await plane.serve({ endpoint, instanceId }, (_request, sink) => {
      sink.end();
    });
    const payload = new Uint8Array(64 * 1024 * 1024 + 1);
    await expect(
      plane.open({ endpoint, instanceId, transport }, { payload, context: new Context() }),
    ).rejects.toMatchObject({ code: 'request.payload_too_large' });
  });

  it('times out on a server that does not accept, and can be used again', async () => {
    await using plane = new GrpcRequestPlane({
      logger: nullLogger,
      host: '127.0.0.1',
      acceptTimeoutMs: 50,
    });
    const instanceId = createInstanceId();
    let block = true;
    const { transport } = await plane.serve({ endpoint, instanceId }, (_request, sink) => {
      // Holds the event loop as a server that hangs would.
      for (const until = performance.now() + 200; block && performance.now() < until;);
      block = false;
      sink.end();
    });
    const target = { endpoint, instanceId, transport };
    const request = { payload: new Uint8Array(), context: new Context() };
    await expect(plane.open(target, request)).rejects.toMatchObject({ code: 'transport.timeout' });
    const response = await plane.open(target, request);
    expect(await response.nextBatch()).toBeUndefined();
  });

  it('gives up on a server that does not answer, or at once when the caller no longer waits', async () => {
    // Takes connections and says nothing.
    const silent = createServer();
    await new Promise<void>((resolve) => {
      silent.listen(0, '127.0.0.1', resolve);
    });
    const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    await using plane = new GrpcRequestPlane({ logger: nullLogger, connectTimeoutMs: 200 });
    const transport = { kind: { $case: 'grpc', value: address } } as const;
    const target = { endpoint, instanceId: createInstanceId(), transport };
    const request = { payload: new Uint8Array(), context: new Context() };
    await expect(plane.open(target, request)).rejects.toMatchObject({
      code: 'transport.cannot_connect',
    });
    const opening = plane.open(target, request);
    request.context.kill();
    await expect(opening).rejects.toMatchObject({ code: 'request.cancelled' });
    silent.close();
  });
});
