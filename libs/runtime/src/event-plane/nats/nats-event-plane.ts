/**
 * Events through NATS core: subject from the topic, one message per subject and event-loop tick, holding all events of
 * that tick as a `SubscribeResponse`. While the broker is away events are dropped, not stored.
 */
import {
  Backoff,
  DynamoError,
  TaskGroup,
  deadlineSignal,
  raceAbort,
  systemClock,
} from '@dynamo-ts/base';
import { SubscribeResponse, eventSubject } from '@dynamo-ts/protocol';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';
import type { NatsConnection } from 'nats';

import type { NatsConnectionHolder } from '../../nats/nats-connection.ts';
import { EventDrops } from '../event-drops.ts';
import type { EventPlane, EventPublisher, EventSubscription, EventTopic } from '../event-plane.ts';
import type { EventQueueLimits } from '../event-queue.ts';
import { EventSequencer } from '../event-sequencer.ts';
import { QueuedSubscription } from '../queued-subscription.ts';
import { NatsEventSender } from './nats-event-sender.ts';

/** Settings of a {@link NatsEventPlane}. */
export interface NatsEventPlaneOptions {
  /** Shared with the request plane; whoever made it closes it, after this plane. */
  readonly nats: NatsConnectionHolder;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  /** Limits of each subscriber. */
  readonly limits?: EventQueueLimits | undefined;
}

/**
 * How long a new publisher waits for the broker at first, so that a normal start loses no event. A process that starts
 * without its broker goes on without it.
 */
const FIRST_CONNECTION_MS = 2000;

/** Event plane over NATS. */
export class NatsEventPlane implements EventPlane {
  readonly backend = 'nats';
  readonly #nats: NatsConnectionHolder;
  readonly #limits: EventQueueLimits;
  readonly #logger: Logger;
  readonly #drops: EventDrops;
  readonly #sender: NatsEventSender;
  readonly #sequencer = new EventSequencer();
  readonly #subscriptions = new Set<QueuedSubscription>();
  readonly #tasks: TaskGroup;

  constructor(options: NatsEventPlaneOptions) {
    this.#nats = options.nats;
    this.#limits = options.limits ?? {};
    this.#logger = options.logger.child({ target: 'runtime.events' });
    this.#drops = new EventDrops({
      plane: this.backend,
      logger: this.#logger,
      metrics: options.metrics,
    });
    this.#sender = new NatsEventSender({ nats: options.nats, drops: this.#drops });
    this.#tasks = new TaskGroup({
      name: 'nats events',
      onError: (error) => {
        this.#logger.error('NATS event subscription failed', { error });
      },
    });
  }

  async publisher(topic: EventTopic, publisherId: bigint): Promise<EventPublisher> {
    this.#throwIfClosed();
    await this.#nats.connection({ signal: deadlineSignal(FIRST_CONNECTION_MS) }).catch(() => {});
    this.#throwIfClosed();
    const subject = eventSubject(topic.scope, topic.topic);
    let isClosed = false;
    const close = (): Promise<void> => {
      isClosed = true;
      this.#sender.flush();
      return Promise.resolve();
    };
    return {
      publisherId,
      epoch: this.#sequencer.epoch,
      publish: (payload) => {
        if (isClosed || this.#tasks.signal.aborted) return;
        this.#sender.send(this.#sequencer.stamp(subject, publisherId, payload));
      },
      close,
      [Symbol.asyncDispose]: close,
    };
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
    this.#subscriptions.add(subscription);
    const off = this.#nats.onReconnect(() => {
      this.#tasks.start(`renew ${subject}`, () => this.#renew(subscription));
    });
    subscription.ended.addEventListener('abort', off);
    const connection = this.#nats.tryConnection();
    if (connection) this.#listen(connection, subject, subscription);
    this.#tasks.start(`subscribe ${subject}`, async () => {
      const signal = subscription.ended;
      const up = connection ?? (await this.#nats.connection({ signal }).catch(() => undefined));
      if (!up || signal.aborted) return;
      if (!connection) this.#listen(up, subject, subscription);
      await this.#confirm(up, signal);
      subscription.markReady();
    });
    return subscription;
  }

  async close(): Promise<void> {
    this.#sender.flush();
    for (const subscription of this.#subscriptions) subscription.end();
    await this.#tasks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #listen(connection: NatsConnection, subject: string, target: QueuedSubscription): void {
    const listener = connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) {
          this.#logger.warn('NATS refused an event subscription', { subject, error });
          return;
        }
        try {
          for (const event of SubscribeResponse.decode(message.data).events) target.push(event);
        } catch (cause) {
          this.#logger.warn('An event message cannot be read', { subject, error: cause });
        }
      },
    });
    target.ended.addEventListener('abort', () => {
      this.#subscriptions.delete(target);
      if (!connection.isClosed()) listener.unsubscribe();
    });
  }

  /** The client has subscribed again by itself; what was published meanwhile is lost. */
  async #renew(subscription: QueuedSubscription): Promise<void> {
    const connection = this.#nats.tryConnection();
    if (!connection || subscription.ended.aborted) return;
    await this.#confirm(connection, subscription.ended);
    subscription.markRenewed('all');
  }

  /** Waits until the broker knows what was subscribed: it answers in order, and the client subscribes again itself. */
  async #confirm(connection: NatsConnection, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    while (!signal.aborted && !connection.isClosed()) {
      try {
        await raceAbort(connection.flush(), signal);
        return;
      } catch {
        // The connection broke meanwhile.
        await systemClock.sleep(backoff.nextMs(), { signal }).catch(() => {});
      }
    }
  }

  #throwIfClosed(): void {
    if (this.#tasks.signal.aborted) {
      throw new DynamoError('runtime.closed', 'the event plane is closed');
    }
  }
}
