/**
 * Events inside one process: runtimes that share a {@link LocalEventPlane} hear each other. An event is in the queues of
 * its subscribers when `publish` returns.
 */
import { DynamoError } from '@dynamo-ts/base';
import { eventSubject } from '@dynamo-ts/protocol';
import { nullLogger } from '@dynamo-ts/telemetry';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import { EventDrops } from '../event-drops.ts';
import type { EventPlane, EventPublisher, EventSubscription, EventTopic } from '../event-plane.ts';
import type { EventQueueLimits } from '../event-queue.ts';
import { EventSequencer } from '../event-sequencer.ts';
import { QueuedSubscription } from '../queued-subscription.ts';

/** Settings of a {@link LocalEventPlane}. */
export interface LocalEventPlaneOptions {
  readonly logger?: Logger | undefined;
  readonly metrics?: MetricsRegistry | undefined;
  /** Limits of each subscriber. */
  readonly limits?: EventQueueLimits | undefined;
}

/** In-process event plane. */
export class LocalEventPlane implements EventPlane {
  readonly backend = 'local';
  readonly #limits: EventQueueLimits;
  readonly #drops: EventDrops;
  readonly #sequencer = new EventSequencer();
  readonly #subscriptions = new Map<string, Set<QueuedSubscription>>();
  #isClosed = false;

  constructor(options: LocalEventPlaneOptions = {}) {
    this.#limits = options.limits ?? {};
    const logger = options.logger ?? nullLogger;
    this.#drops = new EventDrops({ plane: this.backend, logger, metrics: options.metrics });
  }

  async publisher(topic: EventTopic, publisherId: bigint): Promise<EventPublisher> {
    this.#throwIfClosed();
    const subject = eventSubject(topic.scope, topic.topic);
    let isClosed = false;
    const close = (): Promise<void> => {
      isClosed = true;
      return Promise.resolve();
    };
    return Promise.resolve({
      publisherId,
      epoch: this.#sequencer.epoch,
      publish: (payload) => {
        if (!isClosed) this.#publish(subject, publisherId, payload);
      },
      close,
      [Symbol.asyncDispose]: close,
    });
  }

  subscribe(topic: EventTopic, options: { readonly signal: AbortSignal }): EventSubscription {
    this.#throwIfClosed();
    const subject = eventSubject(topic.scope, topic.topic);
    const subscription = new QueuedSubscription({
      signal: options.signal,
      limits: this.#limits,
      onDrop: () => {
        this.#drops.count('slow_subscriber', subject);
      },
    });
    const peers = this.#subscriptions.get(subject) ?? new Set();
    this.#subscriptions.set(subject, peers.add(subscription));
    subscription.ended.addEventListener('abort', () => peers.delete(subscription));
    subscription.markReady();
    return subscription;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const peers of this.#subscriptions.values()) {
      for (const subscription of peers) subscription.end();
    }
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #publish(subject: string, publisherId: bigint, payload: Uint8Array): void {
    const event = this.#sequencer.stamp(subject, publisherId, payload);
    for (const subscription of this.#subscriptions.get(subject) ?? []) subscription.push(event);
  }

  #throwIfClosed(): void {
    if (this.#isClosed) throw new DynamoError('runtime.closed', 'the event plane is closed');
  }
}
