/**
 * Follows the publishers of one topic: watches their records in discovery and keeps one stream per address, because one
 * process may hold several publishers of a topic behind one service.
 */
import { TaskGroup } from '@dynamo-ts/base';
import {
  EVENT_CHANNELS_PREFIX,
  EventChannel,
  encodeSegment,
  eventScopeKey,
  eventSubject,
} from '@dynamo-ts/protocol';
import type { Logger } from '@dynamo-ts/telemetry';

import type { Discovery } from '../../discovery/discovery.ts';
import type { EventTopic } from '../event-plane.ts';
import type { QueuedSubscription } from '../queued-subscription.ts';
import { PublisherConnection } from './publisher-connection.ts';

/** Settings of a {@link DirectSubscription}. */
export interface DirectSubscriptionOptions {
  readonly topic: EventTopic;
  readonly discovery: Discovery;
  readonly target: QueuedSubscription;
  readonly logger: Logger;
  readonly onReconnect: () => void;
}

/** A publisher and where it is. */
interface Channel {
  readonly publisherId: bigint;
  readonly address: string;
}

/** See the file comment. */
export class DirectSubscription {
  readonly #options: DirectSubscriptionOptions;
  readonly #tasks: TaskGroup;
  /** By discovery key. */
  readonly #channels = new Map<string, Channel>();
  readonly #connections = new Map<string, PublisherConnection>();

  constructor(options: DirectSubscriptionOptions) {
    this.#options = options;
    this.#tasks = new TaskGroup({
      name: 'direct event subscription',
      onError: (error) => {
        options.logger.error('Event publisher connection failed', { error });
      },
    });
  }

  /** Works until the target has ended. */
  async run(): Promise<void> {
    const { topic, discovery, target } = this.#options;
    const prefix = channelsPrefix(topic);
    try {
      for await (const event of discovery.watch(prefix, { signal: target.ended })) {
        if (event.kind === 'put') this.#put(event.key, event.value);
        else if (event.kind === 'delete') this.#move(event.key, undefined);
        else this.#tasks.start('ready', () => this.#markReady());
      }
    } finally {
      for (const connection of this.#connections.values()) connection.close();
      await this.#tasks.close();
    }
  }

  #put(key: string, value: Uint8Array): void {
    try {
      const json: unknown = JSON.parse(new TextDecoder().decode(value));
      this.#move(key, EventChannel.fromJSON(json));
    } catch (error) {
      this.#options.logger.warn('An event channel record cannot be read', { key, error });
    }
  }

  /** Sets where a publisher is; undefined when it has gone. */
  #move(key: string, channel: Channel | undefined): void {
    const previous = this.#channels.get(key);
    if (previous?.address === channel?.address) return;
    if (channel === undefined) this.#channels.delete(key);
    else this.#channels.set(key, channel);
    if (channel !== undefined && !this.#connections.has(channel.address))
      this.#connect(channel.address);
    if (previous !== undefined && this.#publishersAt(previous.address).length === 0) {
      this.#connections.get(previous.address)?.close();
      this.#connections.delete(previous.address);
    }
  }

  #publishersAt(address: string): readonly bigint[] {
    const channels = [...this.#channels.values()];
    return channels.filter((each) => each.address === address).map((each) => each.publisherId);
  }

  #connect(address: string): void {
    const { topic, target, logger, onReconnect } = this.#options;
    const connection = new PublisherConnection({
      address,
      subject: eventSubject(topic.scope, topic.topic),
      logger,
      onEvent: (event) => {
        target.push(event);
      },
      onOpen: () => {
        target.markRenewed(this.#publishersAt(address));
      },
      onReconnect,
    });
    this.#connections.set(address, connection);
    this.#tasks.start(`follow ${address}`, () => connection.run());
  }

  async #markReady(): Promise<void> {
    await Promise.all([...this.#connections.values()].map((connection) => connection.settled));
    this.#options.target.markReady();
  }
}

/** Where the publishers of a topic are registered. */
function channelsPrefix({ scope, topic }: EventTopic): string {
  return `${EVENT_CHANNELS_PREFIX}${eventScopeKey(scope)}/topic/${encodeSegment(topic)}/`;
}
