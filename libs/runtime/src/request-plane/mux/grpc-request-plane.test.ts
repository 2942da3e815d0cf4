import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { createInstanceId } from '@dynamo-ts/base';
import { nullLogger } from '@dynamo-ts/telemetry';
import { SeverableProxy } from '@dynamo-ts/testing';
import { Metadata } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';

import { Context } from '../../context.ts';
import { createGrpcServer } from '../../grpc/grpc-server.ts';
import { requestPlaneContract } from '../request-plane.contract.ts';
import { ServedHandlers } from '../served-handlers.ts';
import { GrpcRequestPlane } from './grpc-request-plane.ts';
import { MUX_SERVICE } from './mux-transport.ts';
import { ServerSession } from './server-session.ts';

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
    const instanceId = createInstanceId();
    const handlers = new ServedHandlers();
    handlers.add({ endpoint, instanceId }, (_request, sink) => {
      sink.end();
    });
    let connections = 0;
    // Hangs during its first connection: what comes there is not read.
    const connect = (call: ServerDuplexStream<Uint8Array, Uint8Array>): void => {
      const send = (message: Uint8Array, done: () => void): void => void call.write(message, done);
      const session = new ServerSession({ handlers, send });
      connections += 1;
      if (connections > 1) call.on('data', (message: Uint8Array) => session.receive(message));
      call.on('error', () => session.close());
      call.sendMetadata(new Metadata());
    };
    const services = [{ definition: MUX_SERVICE, implementation: { connect } }];
    await using server = await createGrpcServer({ host: '127.0.0.1', services });
    await using plane = new GrpcRequestPlane({ logger: nullLogger, acceptTimeoutMs: 250 });
    const transport = { kind: { $case: 'grpc' as const, value: server.address } };
    const target = { endpoint, instanceId, transport };
    const request = { payload: new Uint8Array(), context: new Context() };
    await expect(plane.open(target, request)).rejects.toMatchObject({ code: 'transport.timeout' });
    const response = await plane.open(target, request);
    expect(await response.nextBatch()).toBeUndefined();
    expect(connections).toBe(2);
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
