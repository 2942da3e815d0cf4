/**
 * Events without a broker: every publishing process serves `EventService` and registers an `EventChannel` record;
 * subscribers find those in discovery and connect to each.
 */
import { DynamoError, TaskGroup } from '@dynamo-ts/base';
import { EventChannel, eventChannelKey, eventScopeKey, eventSubject } from '@dynamo-ts/protocol';
import { MetricsRegistry } from '@dynamo-ts/telemetry';
import type { Logger } from '@dynamo-ts/telemetry';

import type { Discovery, DiscoveryRecord } from '../../discovery/discovery.ts';
import type { GrpcService } from '../../grpc/grpc-server.ts';
import { EventDrops } from '../event-drops.ts';
import type { EventPlane, EventPublisher, EventSubscription, EventTopic } from '../event-plane.ts';
import type { EventQueueLimits } from '../event-queue.ts';
import { EventSequencer } from '../event-sequencer.ts';
import { EVENT_PLANE_METRICS } from '../metrics.ts';
import { QueuedSubscription } from '../queued-subscription.ts';
import { DirectEventService } from './direct-event-service.ts';
import { DirectSubscription } from './direct-subscription.ts';
import { OwnGrpcHost } from './grpc-host.ts';
import type { GrpcHost } from './grpc-host.ts';

/** Settings of a {@link DirectEventPlane}. */
export interface DirectEventPlaneOptions {
  readonly discovery: Discovery;
  /** Puts the service on the process's listener. @default a listener of its own on all interfaces */
  readonly createHost?: ((service: GrpcService) => GrpcHost) | undefined;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  /** Limits of each subscriber, on both sides. */
  readonly limits?: EventQueueLimits | undefined;
}

/** Event plane between processes, by gRPC. */
export class DirectEventPlane implements EventPlane {
  readonly backend = 'direct';
  readonly #discovery: Discovery;
  readonly #logger: Logger;
  readonly #limits: EventQueueLimits;
  readonly #drops: EventDrops;
  readonly #countReconnect: () => void;
  readonly #service: DirectEventService;
  readonly #host: GrpcHost;
  readonly #sequencer = new EventSequencer();
  readonly #publishers = new Set<EventPublisher>();
  readonly #subscriptions = new Set<QueuedSubscription>();
  readonly #tasks: TaskGroup;
  #closing: Promise<void> | undefined;

  constructor(options: DirectEventPlaneOptions) {
    this.#discovery = options.discovery;
    this.#logger = options.logger.child({ target: 'runtime.events' });
    this.#limits = options.limits ?? {};
    const metrics = options.metrics ?? new MetricsRegistry();
    this.#drops = new EventDrops({ plane: this.backend, logger: this.#logger, metrics });
    const reconnects = metrics
      .counter(EVENT_PLANE_METRICS.reconnectsTotal)
      .bind({ plane: this.backend });
    this.#countReconnect = () => {
      reconnects.inc();
    };
    this.#service = new DirectEventService({ drops: this.#drops, limits: this.#limits });
    const { service } = this.#service;
    this.#host = options.createHost?.(service) ?? new OwnGrpcHost({ service });
    this.#tasks = new TaskGroup({
      name: 'direct events',
      onError: (error) => {
        this.#logger.error('Event subscription failed', { error });
      },
    });
  }

  async publisher(topic: EventTopic, publisherId: bigint): Promise<EventPublisher> {
    this.#throwIfClosed();
    const subject = eventSubject(topic.scope, topic.topic);
    const address = await this.#host.listen();
    const registration = await this.#discovery.register(
      channelRecord(topic, publisherId, address),
      { signal: this.#tasks.signal },
    );
    let isClosed = false;
    const close = async (): Promise<void> => {
      isClosed = true;
      this.#publishers.delete(publisher);
      await registration.close();
    };
    const publisher: EventPublisher = {
      publisherId,
      epoch: this.#sequencer.epoch,
      publish: (payload) => {
        if (!isClosed) {
          this.#service.publish(this.#sequencer.stamp(subject, publisherId, payload));
        }
      },
      close,
      [Symbol.asyncDispose]: close,
    };
    this.#publishers.add(publisher);
    return publisher;
  }

  subscribe(topic: EventTopic, options: { readonly signal: AbortSignal }): EventSubscription {
    this.#throwIfClosed();
    const subject = eventSubject(topic.scope, topic.topic);
    const target = new QueuedSubscription({
      signal: options.signal,
      limits: this.#limits,
      onDrop: () => {
        this.#drops.count('slow_subscriber', subject);
      },
    });
    this.#subscriptions.add(target);
    target.ended.addEventListener('abort', () => this.#subscriptions.delete(target));
    const subscription = new DirectSubscription({
      topic,
      discovery: this.#discovery,
      target,
      logger: this.#logger,
      onReconnect: this.#countReconnect,
    });
    this.#tasks.start(`subscribe ${subject}`, () => subscription.run());
    return target;
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.end();
    await Promise.all([...this.#publishers].map((publisher) => publisher.close()));
    this.#service.close();
    await this.#tasks.close();
    await this.#host.close();
  }

  #throwIfClosed(): void {
    if (this.#closing) throw new DynamoError('runtime.closed', 'the event plane is closed');
  }
}

function channelRecord(
  { scope, topic }: EventTopic,
  publisherId: bigint,
  address: string,
): DiscoveryRecord {
  const channel = EventChannel.toJSON({
    type: 'EventChannel',
    publisherId,
    address,
    subjects: [eventSubject(scope, topic)],
  });
  return {
    key: eventChannelKey(eventScopeKey(scope), topic, publisherId),
    value: new TextEncoder().encode(JSON.stringify(channel)),
  };
}
