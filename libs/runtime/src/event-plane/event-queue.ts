import { BoundedQueue } from '@dynamo-ts/base';
import type { EventEnvelope } from '@dynamo-ts/protocol';

/** Limits of an {@link EventQueue}; whichever is reached first. */
export interface EventQueueLimits {
  /** @default 100000, as in the reference */
  readonly maxEvents?: number | undefined;
  /** @default 64 MiB */
  readonly maxBytes?: number | undefined;
}

const DEFAULT_MAX_EVENTS = 100_000;
const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
/** Rough cost of an event besides its payload. */
const EVENT_OVERHEAD_BYTES = 200;

/** Events waiting for one reader, bounded in number and in memory; when full, the oldest go. */
export class EventQueue {
  readonly #queue: BoundedQueue<EventEnvelope>;
  readonly #maxEvents: number;
  readonly #maxBytes: number;
  readonly #onDrop: () => void;
  #bytes = 0;

  constructor(limits: EventQueueLimits, onDrop: () => void) {
    this.#maxEvents = limits.maxEvents ?? DEFAULT_MAX_EVENTS;
    this.#maxBytes = limits.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#queue = new BoundedQueue({ capacity: this.#maxEvents });
    this.#onDrop = onDrop;
  }

  get size(): number {
    return this.#queue.size;
  }

  /** Adds an event, making room at the old end. */
  push(event: EventEnvelope): void {
    const bytes = sizeOf(event);
    while (
      this.size > 0 &&
      (this.size >= this.#maxEvents || this.#bytes + bytes > this.#maxBytes)
    ) {
      this.tryShift();
      this.#onDrop();
    }
    if (this.#queue.tryPush(event)) this.#bytes += bytes;
  }

  /** The oldest event, if there is one. */
  tryShift(): EventEnvelope | undefined {
    return this.#release(this.#queue.tryShift());
  }

  /** Waits for the oldest event; undefined when closed and empty. */
  async shift(): Promise<EventEnvelope | undefined> {
    return this.#release(await this.#queue.shift());
  }

  /** Takes no more events. */
  close(): void {
    this.#queue.close();
  }

  #release(event: EventEnvelope | undefined): EventEnvelope | undefined {
    if (event) this.#bytes -= sizeOf(event);
    return event;
  }
}

function sizeOf(event: EventEnvelope): number {
  return event.payload.byteLength + EVENT_OVERHEAD_BYTES;
}
