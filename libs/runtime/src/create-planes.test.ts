import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { EventEnvelope } from '@dynamo-ts/protocol';
import { nullLogger } from '@dynamo-ts/telemetry';
import { etcdProvider, natsProvider } from '@dynamo-ts/testing';
import { describe, expect, it, vi } from 'vitest';

import { createPlanes } from './create-planes.ts';
import type { PlaneSettings } from './create-planes.ts';
import { DistributedRuntime } from './distributed-runtime.ts';

const etcd = await etcdProvider();
const nats = await natsProvider();

/** Two processes' planes of the same settings: one serves, the other calls, and an event goes the other way. */
async function tryPlanes(settings: Omit<PlaneSettings, 'logger'>): Promise<void> {
  const logger = nullLogger;
  await using serverPlanes = await createPlanes({ logger, ...settings });
  await using clientPlanes = await createPlanes({ logger, ...settings });
  await using server = await DistributedRuntime.connect({ logger, ...serverPlanes });
  await using client = await DistributedRuntime.connect({ logger, ...clientPlanes });
  const topic = { scope: { namespace: 'test' }, topic: 'news' };
  const publisher = await server.events.publisher(topic, server.instanceId);
  await using _publisher = publisher;
  await server.endpoint('test.backend.generate').serve<string, string>(async function* (request) {
    publisher.publish(new TextEncoder().encode(request));
    yield `got ${request}`;
  });
  const calls = await client.endpoint('test.backend.generate').client<string, string>();
  await calls.waitForInstances({ signal: AbortSignal.timeout(10_000) });
  const abort = new AbortController();
  const subscription = client.events.subscribe(topic, { signal: abort.signal });
  const iterator = subscription[Symbol.asyncIterator]();
  const event = iterator.next();
  await subscription.ready({ signal: AbortSignal.timeout(10_000) });
  for await (const item of await calls.generate('hello')) expect(item).toBe('got hello');
  const received = (await event).value as EventEnvelope;
  expect(new TextDecoder().decode(received.payload)).toBe('hello');
  abort.abort();
}

describe('createPlanes', () => {
  it('makes the planes that are named', async () => {
    await using planes = await createPlanes({
      logger: nullLogger,
      discoveryBackend: 'mem',
      requestPlane: 'LOCAL',
      eventPlane: 'local',
    });
    expect([planes.discovery.backend, planes.requestPlane.backend, planes.events.backend]).toEqual([
      'mem',
      'local',
      'local',
    ]);
  });

  it.each([
    [
      { discoveryBackend: 'consul' },
      'DYN_DISCOVERY_BACKEND: "consul" is unknown; choose etcd, file, mem',
    ],
    [{ discoveryBackend: 'kubernetes' }, /use etcd in Kubernetes/],
    [{ requestPlane: 'tcp' }, /DYN_REQUEST_PLANE: "tcp" .*grpc does its job/],
    [{ requestPlane: 'http' }, /grpc does its job/],
    [{ eventPlane: 'zmq' }, /DYN_EVENT_PLANE: "zmq" .*direct does its job/],
  ])('refuses %j with a hint', async (settings, message) => {
    await expect(createPlanes({ logger: nullLogger, ...settings })).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringMatching(message) as string,
    });
  });

  it('joins processes without a broker: file, grpc, direct', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'planes-'));
    await tryPlanes({
      discoveryBackend: 'file',
      requestPlane: 'grpc',
      eventPlane: 'direct',
      fileDiscoveryDir: folder,
      rpcHost: '127.0.0.1',
    });
    await rm(folder, { recursive: true });
  });

  it('closes at once although another process follows its events on the same listener', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'planes-'));
    const settings = {
      logger: nullLogger,
      discoveryBackend: 'file',
      requestPlane: 'grpc',
      eventPlane: 'direct',
      fileDiscoveryDir: folder,
      rpcHost: '127.0.0.1',
    };
    await using publishing = await createPlanes(settings);
    await using following = await createPlanes(settings);
    const topic = { scope: { namespace: 'test' }, topic: 'news' };
    const publisher = await publishing.events.publisher(topic, 1n);
    const { signal } = new AbortController();
    const events = following.events.subscribe(topic, { signal })[Symbol.asyncIterator]();
    let isFollowing = false;
    const first = events.next().then(() => (isFollowing = true));
    await vi.waitFor(() => {
      publisher.publish(new Uint8Array());
      expect(isFollowing).toBe(true);
    });
    await first;
    const closingMs = performance.now();
    await publishing.close();
    // The listener cuts what is still open after a second.
    expect(performance.now() - closingMs).toBeLessThan(800);
    await rm(folder, { recursive: true });
  });

  it.skipIf(!etcd.available || !nats.available)(
    'joins processes through brokers: etcd, nats, nats',
    { timeout: 60_000 },
    async () => {
      await using store = await etcd.start();
      await using broker = await nats.start();
      await tryPlanes({
        discoveryBackend: 'etcd',
        requestPlane: 'nats',
        eventPlane: 'nats',
        etcdEndpoints: [`http://${store.address}`],
        natsServer: [`nats://${broker.address}`],
      });
    },
  );
});
