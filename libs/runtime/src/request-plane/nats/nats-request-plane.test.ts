import { createInstanceId } from '@dynamo-ts/base';
import { natsProvider } from '@dynamo-ts/testing';
import type { Broker } from '@dynamo-ts/testing';
import { connect } from 'nats';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { Context } from '../../context.ts';
import { requestPlaneContract } from '../request-plane.contract.ts';
import { NatsRequestPlane } from './nats-request-plane.ts';

const nats = await natsProvider();

const ENDPOINT = { namespace: 'test', component: 'backend', endpoint: 'generate' };

/** A plane with a connection of its own, as another process would have. */
class Process {
  readonly plane: NatsRequestPlane;
  readonly connection: NatsConnection;

  private constructor(connection: NatsConnection, heartbeatMs: number) {
    this.connection = connection;
    this.plane = new NatsRequestPlane({ connect: () => Promise.resolve(connection), heartbeatMs });
  }

  static async start(broker: Broker, heartbeatMs = 200): Promise<Process> {
    return new Process(
      await connect({
        servers: broker.address,
        maxReconnectAttempts: -1,
        reconnectTimeWait: 100,
        maxPingOut: 2,
      }),
      heartbeatMs,
    );
  }

  async close(): Promise<void> {
    await this.plane.close();
    await this.connection.close();
  }
}

describe.skipIf(!nats.available)(nats.label, () => {
  let broker: Broker;
  beforeAll(async () => {
    broker = await nats.start();
  }, 120_000);
  afterAll(async () => {
    await broker.close();
  });

  requestPlaneContract('nats', async () => {
    const servers = [await Process.start(broker)];
    const client = await Process.start(broker);
    return {
      server: servers[0]!.plane,
      client: client.plane,
      // What the broker sees when a process dies: its connection is gone.
      sever: () => servers[0]!.connection.close(),
      restart: async () => {
        const server = await Process.start(broker);
        servers.push(server);
        return server.plane;
      },
      close: async () => {
        await client.close();
        await Promise.all(servers.map((server) => server.close()));
      },
    };
  });

  describe('NatsRequestPlane', () => {
    it('kills the requests of a client that has died without a word', async () => {
      const server = await Process.start(broker, 50);
      const client = await Process.start(broker, 50);
      const killed = Promise.withResolvers<unknown>();
      const instanceId = createInstanceId();
      const { transport } = await server.plane.serve(
        { endpoint: ENDPOINT, instanceId },
        (request, sink) => {
          sink.write(new Uint8Array([1]));
          request.context.killed.addEventListener('abort', () => {
            killed.resolve(request.context.killed.reason);
          });
        },
      );
      const target = { endpoint: ENDPOINT, instanceId, transport };
      const request = { payload: new Uint8Array(), context: new Context() };
      await (await client.plane.open(target, request)).nextBatch();
      await client.connection.close();
      expect(await killed.promise).toMatchObject({ reason: 'client-gone' });
      await Promise.all([server.close(), client.close()]);
    });

    it('survives messages that cannot be read, on either side', async () => {
      const server = await Process.start(broker, 50);
      const client = await Process.start(broker, 50);
      const instanceId = createInstanceId();
      const { transport } = await server.plane.serve(
        { endpoint: ENDPOINT, instanceId },
        (_request, sink) => {
          sink.write(new Uint8Array([1]));
        },
      );
      const target = { endpoint: ENDPOINT, instanceId, transport };
      const open = () =>
        client.plane.open(target, { payload: new Uint8Array(), context: new Context() });
      const subject = transport.kind?.$case === 'nats' ? transport.kind.value : '';
      const garbage = Buffer.from([0, 0, 0, 0, 0xff, 0xff, 0xff]);

      const stranger = await connect({ servers: broker.address });
      const refused = Promise.withResolvers<Uint8Array>();
      stranger.subscribe('stranger', { callback: (_error, { data }) => refused.resolve(data) });
      stranger.publish(subject, garbage, { reply: 'stranger' });
      expect(Buffer.from(await refused.promise)).toEqual(Buffer.from([0xff, 0xff, 0xff, 0xff]));

      const inbox = Promise.withResolvers<string>();
      stranger.subscribe(subject, { callback: (_error, { reply }) => inbox.resolve(reply ?? '') });
      await stranger.flush();
      const response = await open();
      await response.nextBatch();
      // The second message of the answer's direction.
      for (const sequence of [1, 2, 3]) {
        stranger.publish(await inbox.promise, Buffer.from([sequence, 0, 0, 0, 0xff, 0xff, 0xff]));
      }
      await expect(response.nextBatch()).rejects.toMatchObject({ code: 'transport.disconnected' });
      expect(await (await open()).nextBatch()).toHaveLength(1);
      await stranger.close();
      await Promise.all([server.close(), client.close()]);
    });

    it('puts the trace context of a request into NATS headers', async () => {
      const server = await Process.start(broker);
      const client = await Process.start(broker);
      const instanceId = createInstanceId();
      const { transport } = await server.plane.serve(
        { endpoint: ENDPOINT, instanceId },
        (_request, sink) => {
          sink.end();
        },
      );
      const seen = Promise.withResolvers<string | undefined>();
      server.connection.subscribe(String(transport.kind?.value), {
        callback: (_error, message) => {
          seen.resolve(message.headers?.get('traceparent'));
        },
      });
      await server.connection.flush();
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
      const context = new Context({ headers: { traceparent } });
      const target = { endpoint: ENDPOINT, instanceId, transport };
      const response = await client.plane.open(target, { payload: new Uint8Array(), context });
      expect(await response.nextBatch()).toBeUndefined();
      expect(await seen.promise).toBe(traceparent);
      await Promise.all([server.close(), client.close()]);
    });

    it('says so when the broker cannot be reached, and when the caller no longer waits', async () => {
      const plane = new NatsRequestPlane({
        connect: () => new Promise(() => undefined),
        connectTimeoutMs: 20,
      });
      const transport = { kind: { $case: 'nats', value: 'nowhere' } } as const;
      const target = { endpoint: ENDPOINT, instanceId: createInstanceId(), transport };
      const request = { payload: new Uint8Array(), context: new Context() };
      await expect(plane.open(target, request)).rejects.toMatchObject({
        code: 'transport.cannot_connect',
      });
      const opening = plane.open(target, request);
      request.context.kill();
      await expect(opening).rejects.toMatchObject({ code: 'request.cancelled' });
    });

    it('closes although the broker has gone', async () => {
      const own = await nats.start();
      const server = await Process.start(own);
      const client = await Process.start(own);
      const instanceId = createInstanceId();
      const { transport } = await server.plane.serve(
        { endpoint: ENDPOINT, instanceId },
        (_request, sink) => {
          sink.write(new Uint8Array([1]));
        },
      );
      const target = { endpoint: ENDPOINT, instanceId, transport };
      const request = { payload: new Uint8Array(), context: new Context() };
      await (await client.plane.open(target, request)).nextBatch();
      await own.kill();
      const large = { payload: new Uint8Array(2 ** 20), context: new Context() };
      const opening = expect(client.plane.open(target, large)).rejects.toThrow();
      await Promise.all([server.close(), client.close(), opening]);
      await own.close();
    }, 20_000);

    it('fails open answers when the broker goes, and works again when it is back', async () => {
      const own = await nats.start();
      const server = await Process.start(own);
      const client = await Process.start(own);
      const instanceId = createInstanceId();
      let calls = 0;
      const { transport } = await server.plane.serve(
        { endpoint: ENDPOINT, instanceId },
        (_request, sink) => {
          calls += 1;
          sink.write(new Uint8Array([calls]));
          if (calls > 1) sink.end();
        },
      );
      const target = { endpoint: ENDPOINT, instanceId, transport };
      const request = { payload: new Uint8Array(), context: new Context() };
      const response = await client.plane.open(target, request);
      await response.nextBatch();
      const next = response.nextBatch();
      await Promise.all([
        own.kill(),
        expect(next).rejects.toMatchObject({ code: 'transport.disconnected' }),
      ]);
      await own.start();
      await client.plane.reachable(target, { signal: AbortSignal.timeout(10_000) });
      const again = await client.plane.open(target, request);
      expect(await again.nextBatch()).toEqual([Buffer.from([2])]);
      await Promise.all([server.close(), client.close()]);
      await own.close();
    }, 30_000);
  });
});
