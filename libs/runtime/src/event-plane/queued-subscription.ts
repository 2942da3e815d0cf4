import { onAbort, raceAbort } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import type { EventEnvelope } from '@dynamo-ts/protocol';

import type { EventSubscription } from './event-plane.ts';
import { EventQueue } from './event-queue.ts';
import type { EventQueueLimits } from './event-queue.ts';

/** Settings of a {@link QueuedSubscription}. */
export interface QueuedSubscriptionOptions {
  readonly signal: AbortSignal;
  readonly limits: EventQueueLimits;
  readonly onDrop: () => void;
}

/** A subscription that its backend fills; the same for all backends. */
export class QueuedSubscription implements EventSubscription {
  readonly #queue: EventQueue;
  readonly #ended = new AbortController();
  readonly #isLive: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #offSignal: () => void;
  readonly #onRenewed = new Set<(publishers: readonly bigint[] | 'all') => void>();
  #isReady = false;

  constructor(options: QueuedSubscriptionOptions) {
    this.#queue = new EventQueue(options.limits, options.onDrop);
    this.#offSignal = onAbort(options.signal, () => {
      this.end();
    });
  }

  /** Aborted when nobody wants events any more. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Gives an event to the reader. */
  push(event: EventEnvelope): void {
    this.#queue.push(event);
  }

  /** Says that events reach this subscription from here on. */
  markReady(): void {
    this.#isReady = true;
    this.#isLive.resolve();
  }

  /** Says that publishers are heard (again) that were not; before it is ready that is no news. */
  markRenewed(publishers: readonly bigint[] | 'all'): void {
    if (!this.#isReady) return;
    for (const listener of this.#onRenewed) listener(publishers);
  }

  onRenewed(listener: (publishers: readonly bigint[] | 'all') => void): () => void {
    this.#onRenewed.add(listener);
    return () => {
      this.#onRenewed.delete(listener);
    };
  }

  /** Ends it: the reader's loop ends, events are ignored. Idempotent. */
  end(): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#queue.close();
    this.#isLive.resolve();
  }

  async ready(options: AbortOptions = {}): Promise<void> {
    await raceAbort(this.#isLive.promise, options.signal);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EventEnvelope, void> {
    try {
      for (;;) {
        const event = await this.#queue.shift();
        if (event === undefined || this.#ended.signal.aborted) return;
        yield event;
      }
    } finally {
      this.#offSignal();
      this.end();
    }
  }
}
