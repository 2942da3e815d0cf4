/**
 * The event plane: at-most-once messages by subject. Every publisher stamps an epoch (new per process start) and a
 * dense sequence per subject, so that a consumer sees a gap and asks the publisher instead of guessing.
 */
import type { AbortOptions } from '@dynamo-ts/base';
import type { EventEnvelope, EventScope } from '@dynamo-ts/protocol';

/** Sends events of one topic. */
export interface EventPublisher extends AsyncDisposable {
  readonly publisherId: bigint;
  readonly epoch: bigint;
  /** Queues an event; never waits. Events are dropped, and counted, while nobody can take them. */
  publish(payload: Uint8Array): void;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Which publishers a subscription or publisher concerns. */
export interface EventTopic {
  readonly scope: EventScope;
  readonly topic: string;
}

/** Events of one topic, read by one consumer. It listens from the moment it is made, not from the first read. */
export interface EventSubscription extends AsyncIterable<EventEnvelope> {
  /**
   * Resolves when events that publishers known now send from here on reach this subscription. A consumer that then asks
   * a publisher for its state misses nothing between that state and the first event.
   */
  ready(options?: AbortOptions): Promise<void>;
  /**
   * Calls `listener` when events may have been lost without a gap that shows it, because publishers are heard (again)
   * that were not: those that it is given, or all. @returns an unsubscribe
   */
  onRenewed(listener: (publishers: readonly bigint[] | 'all') => void): () => void;
}

/** An event-plane backend. */
export interface EventPlane extends AsyncDisposable {
  readonly backend: 'nats' | 'direct' | 'local';
  /** Makes a publisher; `publisherId` is the process's instance id. */
  publisher(topic: EventTopic, publisherId: bigint): Promise<EventPublisher>;
  /**
   * Events of all present and future publishers of the topic until aborted. A subscriber that does not keep up loses
   * its oldest events and sees the gap.
   */
  subscribe(topic: EventTopic, options: { readonly signal: AbortSignal }): EventSubscription;
  /** Ends its subscriptions. Idempotent. */
  close(): Promise<void>;
}
