/**
 * Events inside one process: runtimes that share a {@link LocalEventPlane} hear each other. Delivery is by queue per
 * subscriber; a subscriber that does not keep up loses its oldest events and sees the gap in the sequence.
 */
import { BoundedQueue, DynamoError, onAbort } from '@dynamo-ts/base';
import { eventSubject } from '@dynamo-ts/protocol';
import type { EventEnvelope } from '@dynamo-ts/protocol';

import type { EventPlane, EventPublisher, EventTopic } from '../event-plane.ts';

/** Events that one subscriber may have waiting. */
const QUEUE_CAPACITY = 100_000;

/** In-process event plane. */
export class LocalEventPlane implements EventPlane {
  readonly backend = 'local';
  readonly #epoch = BigInt(Date.now());
  readonly #sequences = new Map<string, bigint>();
  readonly #subscribers = new Map<string, Set<BoundedQueue<EventEnvelope>>>();
  #closed = false;

  async publisher(topic: EventTopic, publisherId: bigint): Promise<EventPublisher> {
    if (this.#closed) throw new DynamoError('runtime.closed', 'the event plane is closed');
    const subject = eventSubject(topic.scope, topic.topic);
    const close = (): Promise<void> => Promise.resolve();
    return Promise.resolve({
      publisherId,
      epoch: this.#epoch,
      publish: (payload) => {
        this.#publish(subject, publisherId, payload);
      },
      close,
      [Symbol.asyncDispose]: close,
    });
  }

  async *subscribe(
    topic: EventTopic,
    options: { readonly signal: AbortSignal },
  ): AsyncGenerator<EventEnvelope, void> {
    const subject = eventSubject(topic.scope, topic.topic);
    const queue = new BoundedQueue<EventEnvelope>({
      capacity: QUEUE_CAPACITY,
      overflow: 'drop-oldest',
    });
    const queues = this.#subscribers.get(subject) ?? new Set();
    this.#subscribers.set(subject, queues.add(queue));
    const off = onAbort(options.signal, () => {
      queue.close();
    });
    try {
      if (this.#closed) return;
      yield* queue;
    } finally {
      off();
      queues.delete(queue);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const queues of this.#subscribers.values()) for (const queue of queues) queue.close();
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #publish(subject: string, publisherId: bigint, payload: Uint8Array): void {
    if (this.#closed) return;
    const series = `${subject} ${publisherId}`;
    const sequence = (this.#sequences.get(series) ?? 0n) + 1n;
    this.#sequences.set(series, sequence);
    const epoch = this.#epoch;
    const timestampMs = Date.now();
    const envelope = { publisherId, epoch, sequence, timestampMs, subject, payload };
    for (const queue of this.#subscribers.get(subject) ?? []) queue.tryPush(envelope);
  }
}
