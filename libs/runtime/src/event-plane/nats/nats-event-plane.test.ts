import { eventually, freePort, natsProvider } from '@dynamo-ts/testing';
import type { Broker } from '@dynamo-ts/testing';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { NatsConnectionHolder, connectNats } from '../../nats/nats-connection.ts';
import { EventRecorder, bytes, describeEventPlaneContract } from '../event-plane.contract.ts';
import type { EventPlane } from '../event-plane.ts';
import { NatsEventPlane } from './nats-event-plane.ts';

const nats = await natsProvider();
const TOPIC = { scope: { namespace: 'nats' }, topic: 'kv-events' };

describe.skipIf(!nats.available)(nats.label, { timeout: 60_000 }, () => {
  describeEventPlaneContract('NATS event plane', async () => {
    const broker = await nats.start();
    const holders: NatsConnectionHolder[] = [];
    return {
      connect: (setup): EventPlane => {
        const settings = { servers: [broker.address] };
        const holder = connectNats({ settings, logger: nullLogger });
        holders.push(holder);
        return new NatsEventPlane({ nats: holder, logger: nullLogger, ...setup });
      },
      [Symbol.asyncDispose]: async () => {
        await Promise.all(holders.map((holder) => holder.close()));
        await broker.close();
      },
    };
  });

  describe('NatsEventPlane', () => {
    let broker: Broker;
    beforeAll(async () => {
      broker = await nats.start();
    }, 120_000);
    afterAll(async () => {
      await broker.close();
    });
    const open = (metrics = new MetricsRegistry()): NatsConnectionHolder =>
      new NatsConnectionHolder({
        settings: { servers: [broker.address] },
        logger: nullLogger,
        metrics,
      });

    it('drops and counts while the broker is away, shows the gap, and goes on when it returns', async () => {
      const metrics = new MetricsRegistry();
      await using holder = open(metrics);
      await using plane = new NatsEventPlane({ nats: holder, logger: nullLogger, metrics });
      const publisher = await plane.publisher(TOPIC, 1n);
      const controller = new AbortController();
      const subscription = plane.subscribe(TOPIC, { signal: controller.signal });
      await subscription.ready();
      const renewed: unknown[] = [];
      subscription.onRenewed((publishers) => renewed.push(publishers));
      const recorder = new EventRecorder(subscription);
      publisher.publish(bytes('first'));
      await eventually(() => recorder.texts.includes('first'));
      await broker.kill();
      await eventually(() => holder.state === 'disconnected');
      publisher.publish(bytes('lost'));
      publisher.publish(bytes('lost'));
      await eventually(async () =>
        (await metrics.text()).includes(
          'dynamo_events_dropped_total{plane="nats",reason="disconnected"} 2',
        ),
      );
      await broker.start();
      await eventually(() => holder.state === 'connected');
      publisher.publish(bytes('last'));
      await eventually(() => recorder.texts.includes('last'));
      expect(recorder.texts).toEqual(['first', 'last']);
      expect(recorder.events.map(({ sequence }) => sequence)).toEqual([1n, 4n]);
      expect(await metrics.text()).toMatch(/dynamo_nats_reconnects_total 1\n/);
      await eventually(() => renewed.length === 1);
      expect(renewed).toEqual(['all']);
      controller.abort();
      await recorder.done;
    });

    it('drops what the broker refuses as too large and carries on', async () => {
      const metrics = new MetricsRegistry();
      await using holder = open();
      await using plane = new NatsEventPlane({ nats: holder, logger: nullLogger, metrics });
      const publisher = await plane.publisher(TOPIC, 1n);
      const controller = new AbortController();
      const subscription = plane.subscribe(TOPIC, { signal: controller.signal });
      await subscription.ready();
      const recorder = new EventRecorder(subscription);
      publisher.publish(new Uint8Array(2 * 1024 * 1024));
      publisher.publish(bytes('small'));
      await eventually(() => recorder.texts.includes('small'));
      expect(recorder.events.map(({ sequence }) => sequence)).toEqual([2n]);
      expect(await metrics.text()).toContain('plane="nats",reason="too_large"} 1');
      controller.abort();
      await recorder.done;
    });

    it('bounds what a frozen broker does not take', async () => {
      const metrics = new MetricsRegistry();
      await using holder = open();
      await using plane = new NatsEventPlane({ nats: holder, logger: nullLogger, metrics });
      const publisher = await plane.publisher(TOPIC, 1n);
      await holder.connection();
      await broker.pause();
      const payload = new Uint8Array(512 * 1024);
      for (let count = 0; count < 64; count += 1) publisher.publish(payload);
      await eventually(async () =>
        /plane="nats",reason="congested"\} (2\d|3\d)\n/.test(await metrics.text()),
      );
      await broker.resume();
    });
  });

  it('waits for a broker that is not there yet, and closes while waiting', async () => {
    const warnings: string[] = [];
    const logger = { ...nullLogger, warn: (message: string) => warnings.push(message) };
    const settings = { servers: [`127.0.0.1:${await freePort()}`] };
    const waiting = connectNats({ settings, logger: { ...logger, child: () => logger } });
    await eventually(() => warnings.length > 0);
    expect(waiting.state).toBe('disconnected');
    await expect(waiting.connection({ signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
      code: 'request.deadline_exceeded',
    });
    await waiting.close();
    await expect(waiting.connection()).rejects.toMatchObject({ code: 'runtime.closed' });
    expect(warnings).toEqual(['NATS cannot be reached; trying again until it answers']);

    const broker = await nats.start();
    await broker.kill();
    await using early = connectNats({
      settings: { servers: [broker.address] },
      logger: nullLogger,
    });
    await using plane = new NatsEventPlane({ nats: early, logger: nullLogger });
    const subscription = plane.subscribe(TOPIC, { signal: new AbortController().signal });
    const publisher = await plane.publisher(TOPIC, 1n);
    await broker.start();
    await subscription.ready();
    publisher.publish(bytes('x'));
    const recorder = new EventRecorder(subscription);
    await eventually(() => recorder.texts.includes('x'));
    await plane.close();
    await early.close();
    await broker.close();
  });
});
