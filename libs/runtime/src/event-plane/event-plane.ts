/**
 * The event plane: at-most-once messages by subject. Every publisher stamps an epoch (new per process start) and a
 * dense sequence per subject, so that a consumer sees a gap and asks the publisher instead of guessing.
 */
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

/** An event-plane backend. */
export interface EventPlane extends AsyncDisposable {
  readonly backend: 'nats' | 'direct' | 'local';
  /** Makes a publisher; `publisherId` is the process's instance id. */
  publisher(topic: EventTopic, publisherId: bigint): Promise<EventPublisher>;
  /** Events of all present and future publishers of the topic until aborted. */
  subscribe(
    topic: EventTopic,
    options: { readonly signal: AbortSignal },
  ): AsyncIterable<EventEnvelope>;
  /** Idempotent. */
  close(): Promise<void>;
}
