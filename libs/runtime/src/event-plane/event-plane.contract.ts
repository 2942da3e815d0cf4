/** What every event plane must do; each backend's test calls {@link describeEventPlaneContract}. */
import type { EventEnvelope } from '@dynamo-ts/protocol';
import { eventually } from '@dynamo-ts/testing';
import { MetricsRegistry } from '@dynamo-ts/telemetry';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { EventPlane, EventSubscription, EventTopic } from './event-plane.ts';
import type { EventQueueLimits } from './event-queue.ts';

/** Settings of one process's plane. */
export interface EventPlaneSetup {
  readonly limits?: EventQueueLimits;
  readonly metrics?: MetricsRegistry;
}

/** One transport under test. */
export interface EventPlaneHarness extends AsyncDisposable {
  /** A plane as another process would have it, or the shared one of a process-local transport. */
  connect(setup?: EventPlaneSetup): EventPlane;
  /** Called after each test. */
  reset?(): void;
}

/** Reads a subscription in the background. */
export class EventRecorder {
  readonly events: EventEnvelope[] = [];
  readonly done: Promise<void>;

  constructor(subscription: EventSubscription) {
    this.done = this.#run(subscription);
  }

  /** Payloads as text. */
  get texts(): string[] {
    return this.events.map(({ payload }) => text(payload));
  }

  async #run(subscription: EventSubscription): Promise<void> {
    for await (const event of subscription) this.events.push(event);
  }
}

/** A payload. */
export function bytes(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

function text(payload: Uint8Array): string {
  return new TextDecoder().decode(payload);
}

/** Registers the contract's tests for one backend. */
export function describeEventPlaneContract(
  name: string,
  createHarness: () => Promise<EventPlaneHarness>,
): void {
  describe(`${name} keeps the event plane contract`, () => {
    let harness: EventPlaneHarness;
    let testNumber = 0;
    let topic: EventTopic;
    let ending = new AbortController();
    const opened: EventPlane[] = [];

    const connect = (setup?: EventPlaneSetup): EventPlane => {
      const plane = harness.connect(setup);
      opened.push(plane);
      return plane;
    };
    beforeAll(async () => {
      harness = await createHarness();
    }, 120_000);
    afterAll(async () => {
      await harness[Symbol.asyncDispose]();
    });
    afterEach(async () => {
      ending.abort();
      await Promise.all(opened.splice(0).map((plane) => plane.close()));
      harness.reset?.();
    });
    const test = (title: string, run: (signal: AbortSignal) => Promise<void>): void => {
      it(title, { timeout: 60_000 }, async () => {
        testNumber += 1;
        topic = {
          scope: { namespace: `test-${testNumber}`, component: 'backend' },
          topic: 'kv-events',
        };
        ending = new AbortController();
        await run(ending.signal);
      });
    };

    test('delivers events in order with a dense sequence from 1 and one epoch', async (signal) => {
      const [sender, receiver] = [connect(), connect()];
      const publisher = await sender.publisher(topic, 0xffff_ffff_ffff_fffen);
      const subscription = receiver.subscribe(topic, { signal });
      await subscription.ready();
      const recorder = new EventRecorder(subscription);
      for (let index = 1; index <= 500; index += 1) publisher.publish(bytes(`event ${index}`));
      await eventually(() => recorder.events.length === 500);
      expect(recorder.texts[499]).toBe('event 500');
      expect(recorder.events.map(({ sequence }) => Number(sequence))).toEqual(
        Array.from({ length: 500 }, (_, index) => index + 1),
      );
      expect(recorder.events[0]).toMatchObject({
        publisherId: 0xffff_ffff_ffff_fffen,
        epoch: publisher.epoch,
        subject: `namespace.${topic.scope.namespace}.component.backend.kv-events`,
      });
      expect(Math.abs((recorder.events[0]?.timestampMs ?? 0) - Date.now())).toBeLessThan(60_000);
      expect(new Set(recorder.events.map(({ epoch }) => epoch)).size).toBe(1);
    });

    test('delivers what is published right after the subscription is ready', async (signal) => {
      const [sender, receiver] = [connect(), connect()];
      const publisher = await sender.publisher(topic, 1n);
      publisher.publish(bytes('before'));
      const subscription = receiver.subscribe(topic, { signal });
      await subscription.ready();
      publisher.publish(bytes('after'));
      const recorder = new EventRecorder(subscription);
      await eventually(() => recorder.texts.includes('after'));
      expect(recorder.events.at(-1)?.sequence).toBe(2n);
    });

    test('reaches every subscriber, from publishers that come later too', async (signal) => {
      const [first, second, receiver, other] = [connect(), connect(), connect(), connect()];
      const subscriptions = [
        receiver.subscribe(topic, { signal }),
        other.subscribe(topic, { signal }),
      ];
      await Promise.all(subscriptions.map((subscription) => subscription.ready()));
      const recorders = subscriptions.map((subscription) => new EventRecorder(subscription));
      const publishers = [await first.publisher(topic, 1n), await second.publisher(topic, 2n)];
      for (const recorder of recorders) {
        await eventually(() => {
          for (const publisher of publishers) publisher.publish(bytes('hello'));
          const ids = new Set(recorder.events.map(({ publisherId }) => publisherId));
          return ids.size === 2;
        });
      }
    });

    test('keeps topics and scopes apart', async (signal) => {
      const [sender, receiver] = [connect(), connect()];
      const topics: EventTopic[] = [
        topic,
        { ...topic, topic: 'load_metrics' },
        { ...topic, scope: { namespace: topic.scope.namespace } },
      ];
      const publishers = await Promise.all(topics.map((each) => sender.publisher(each, 1n)));
      const subscriptions = topics.map((each) => receiver.subscribe(each, { signal }));
      await Promise.all(subscriptions.map((subscription) => subscription.ready()));
      const recorders = subscriptions.map((subscription) => new EventRecorder(subscription));
      for (const [index, publisher] of publishers.entries()) publisher.publish(bytes(`${index}`));
      await eventually(() => recorders.every(({ events }) => events.length > 0));
      expect(recorders.map((recorder) => recorder.texts)).toEqual([['0'], ['1'], ['2']]);
      expect(recorders.map(({ events }) => events[0]?.sequence)).toEqual([1n, 1n, 1n]);
    });

    test('counts two publishers of one process apart and delivers each event once', async (signal) => {
      const [sender, receiver] = [connect(), connect()];
      const [one, two] = [await sender.publisher(topic, 1n), await sender.publisher(topic, 2n)];
      const subscription = receiver.subscribe(topic, { signal });
      await subscription.ready();
      const recorder = new EventRecorder(subscription);
      for (const publisher of [one, two, one, two]) publisher.publish(bytes('x'));
      await eventually(() => recorder.events.length >= 4);
      expect(
        recorder.events.map(({ publisherId, sequence }) => `${publisherId}/${sequence}`).sort(),
      ).toEqual(['1/1', '1/2', '2/1', '2/2']);
    });

    test('drops the oldest for a subscriber that does not read, counts it, and shows the gap', async (signal) => {
      const metrics = new MetricsRegistry();
      const receiver = connect({ limits: { maxEvents: 10 }, metrics });
      const sender = connect();
      const publisher = await sender.publisher(topic, 1n);
      const slow = receiver.subscribe(topic, { signal });
      const fast = receiver.subscribe(topic, { signal });
      await Promise.all([slow.ready(), fast.ready()]);
      const recorder = new EventRecorder(fast);
      for (let index = 1; index <= 30; index += 1) {
        publisher.publish(bytes(String(index)));
        await eventually(() => recorder.texts.at(-1) === String(index));
      }
      await eventually(async () =>
        /dynamo_events_dropped_total\{.*reason="slow_subscriber".*\} 20\n/.test(
          await metrics.text(),
        ),
      );
      const late = new EventRecorder(slow);
      await eventually(() => late.events.length === 10);
      expect(late.events.map(({ sequence }) => Number(sequence))).toEqual([
        21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
      ]);
    });

    test('carries large events', async (signal) => {
      const [sender, receiver] = [connect(), connect()];
      const publisher = await sender.publisher(topic, 1n);
      const subscription = receiver.subscribe(topic, { signal });
      await subscription.ready();
      const recorder = new EventRecorder(subscription);
      const payload = new Uint8Array(900_000).fill(7);
      for (let count = 0; count < 8; count += 1) publisher.publish(payload);
      await eventually(() => recorder.events.length === 8);
      expect(recorder.events.every((event) => event.payload.byteLength === 900_000)).toBe(true);
    });

    test('ends subscriptions on abort, on break and on close, and refuses work after it', async () => {
      const plane = connect();
      const controller = new AbortController();
      const aborted = new EventRecorder(plane.subscribe(topic, { signal: controller.signal }));
      const { signal } = ending;
      const closed = new EventRecorder(plane.subscribe(topic, { signal }));
      const broken = plane.subscribe(topic, { signal });
      await broken.ready();
      const publisher = await plane.publisher(topic, 1n);
      await eventually(async () => {
        publisher.publish(bytes('x'));
        return closed.events.length > 0;
      });
      for await (const _event of broken) break;
      controller.abort();
      await aborted.done;
      await publisher.close();
      await publisher.close();
      publisher.publish(bytes('after close'));
      await plane.close();
      await plane.close();
      await closed.done;
      expect(closed.texts).not.toContain('after close');
      expect(() => plane.subscribe(topic, { signal })).toThrow('closed');
      await expect(plane.publisher(topic, 1n)).rejects.toMatchObject({ code: 'runtime.closed' });
    });
  });
}
