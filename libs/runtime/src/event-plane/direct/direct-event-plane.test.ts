import { EVENT_CHANNELS_PREFIX, EventChannel, EventServiceClient } from '@dynamo-ts/protocol';
import type { SubscribeResponse } from '@dynamo-ts/protocol';
import { eventually } from '@dynamo-ts/testing';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { credentials } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';

import type { Discovery } from '../../discovery/discovery.ts';
import { MemDiscovery, MemDiscoveryHub } from '../../discovery/mem/mem-discovery.ts';
import { createGrpcServer } from '../../grpc/grpc-server.ts';
import type { GrpcServer } from '../../grpc/grpc-server.ts';
import { EventRecorder, bytes, describeEventPlaneContract } from '../event-plane.contract.ts';
import type { EventPlaneSetup } from '../event-plane.contract.ts';
import { DirectEventPlane } from './direct-event-plane.ts';
import { OwnGrpcHost } from './grpc-host.ts';

const TOPIC = { scope: { namespace: 'direct', component: 'backend' }, topic: 'kv-events' };

function connect(discovery: Discovery, setup: EventPlaneSetup = {}): DirectEventPlane {
  return new DirectEventPlane({
    discovery,
    createHost: (service) => new OwnGrpcHost({ host: '127.0.0.1', service }),
    logger: nullLogger,
    ...setup,
  });
}

describeEventPlaneContract('direct event plane', async () => {
  const hub = new MemDiscoveryHub();
  return {
    connect: (setup) => connect(new MemDiscovery({ hub }), setup),
    [Symbol.asyncDispose]: async () => undefined,
  };
});

describe('DirectEventPlane', () => {
  it('registers an EventChannel record while it publishes', async () => {
    await using discovery = new MemDiscovery({ hub: new MemDiscoveryHub() });
    await using plane = connect(discovery);
    const publisher = await plane.publisher(TOPIC, 0xabcn);
    const [record] = await discovery.list(EVENT_CHANNELS_PREFIX);
    expect(record?.key).toBe(
      'v1/event_channels/namespace/direct/component/backend/topic/kv-events/abc',
    );
    const channel: unknown = JSON.parse(new TextDecoder().decode(record?.value));
    expect(channel).toMatchObject({ type: 'EventChannel', publisher_id: '2748' });
    expect(EventChannel.fromJSON(channel).address).toMatch(/^127\.0\.0\.1:\d+$/);
    await publisher.close();
    expect(await discovery.list(EVENT_CHANNELS_PREFIX)).toEqual([]);
  });

  it('comes back to a publisher whose listener went away and returned', async () => {
    await using discovery = new MemDiscovery({ hub: new MemDiscoveryHub() });
    const metrics = new MetricsRegistry();
    let server: GrpcServer | undefined;
    let restart = async (): Promise<void> => undefined;
    await using publishing = new DirectEventPlane({
      discovery,
      createHost: (service) => {
        restart = async () => {
          const port = server?.port ?? 0;
          await server?.close(0);
          server = await createGrpcServer({ host: '127.0.0.1', port, services: [service] });
        };
        return {
          listen: async () => {
            if (!server) await restart();
            return server?.address ?? '';
          },
          close: async () => server?.close(0),
          [Symbol.asyncDispose]: async () => server?.close(0),
        };
      },
      logger: nullLogger,
    });
    await using receiving = connect(discovery, { metrics });
    const publisher = await publishing.publisher(TOPIC, 1n);
    const controller = new AbortController();
    const subscription = receiving.subscribe(TOPIC, { signal: controller.signal });
    await subscription.ready();
    const renewed: unknown[] = [];
    subscription.onRenewed((publishers) => renewed.push(publishers));
    const recorder = new EventRecorder(subscription);
    publisher.publish(bytes('first'));
    await eventually(() => recorder.texts.includes('first'));
    expect(renewed).toEqual([]);
    await restart();
    await eventually(() => {
      publisher.publish(bytes('again'));
      return recorder.texts.includes('again');
    });
    expect(await metrics.text()).toContain('dynamo_events_reconnects_total{plane="direct"} 1');
    expect(renewed).toEqual([[1n]]);
    controller.abort();
    await recorder.done;
  });

  it('says that a publisher is heard that came after the subscription was ready', async () => {
    const hub = new MemDiscoveryHub();
    await using publishing = connect(new MemDiscovery({ hub }));
    await using receiving = connect(new MemDiscovery({ hub }));
    const controller = new AbortController();
    const subscription = receiving.subscribe(TOPIC, { signal: controller.signal });
    await subscription.ready();
    const renewed: unknown[] = [];
    const off = subscription.onRenewed((publishers) => renewed.push(publishers));
    await publishing.publisher(TOPIC, 7n);
    await eventually(() => renewed.length === 1);
    expect(renewed).toEqual([[7n]]);
    off();
    controller.abort();
  });

  it('keeps a bounded queue for a subscriber whose connection stands still', async () => {
    await using discovery = new MemDiscovery({ hub: new MemDiscoveryHub() });
    const metrics = new MetricsRegistry();
    await using plane = connect(discovery, { metrics, limits: { maxBytes: 1024 * 1024 } });
    const publisher = await plane.publisher(TOPIC, 1n);
    const [record] = await discovery.list(EVENT_CHANNELS_PREFIX);
    const { address } = EventChannel.fromJSON(
      JSON.parse(new TextDecoder().decode(record?.value)) as unknown,
    );
    const client = new EventServiceClient(address, credentials.createInsecure());
    const stream = client.subscribe({ subjects: ['namespace.direct.component.backend.kv-events'] });
    stream.on('error', () => undefined);
    await new Promise((resolve) => stream.on('metadata', resolve));
    const payload = new Uint8Array(256 * 1024);
    await eventually(async () => {
      for (let count = 0; count < 100; count += 1) publisher.publish(payload);
      await new Promise(setImmediate);
      return /reason="congested"\} [1-9]/.test(await metrics.text());
    });
    const sequences: bigint[] = [];
    stream.on('data', ({ events }: SubscribeResponse) => {
      sequences.push(...events.map(({ sequence }) => sequence));
    });
    await eventually(() => {
      publisher.publish(bytes('last'));
      return sequences.some((sequence, index) => index > 0 && sequence !== BigInt(index + 1));
    });
    stream.cancel();
    client.close();
  });

  it('is ready although a registered publisher cannot be reached', async () => {
    await using discovery = new MemDiscovery({ hub: new MemDiscoveryHub() });
    const record = EventChannel.toJSON({
      type: 'EventChannel',
      publisherId: 9n,
      address: '127.0.0.1:1',
      subjects: [],
    });
    await discovery.register({
      key: 'v1/event_channels/namespace/direct/component/backend/topic/kv-events/9',
      value: bytes(JSON.stringify(record)),
    });
    await using plane = connect(discovery);
    const subscription = plane.subscribe(TOPIC, { signal: new AbortController().signal });
    await subscription.ready({ signal: AbortSignal.timeout(20_000) });
  });
});
