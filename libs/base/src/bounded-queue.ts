/**
 * A queue with a limit, read as an async iterable by one consumer.
 *
 * Guarantees: order is kept; nothing is lost except what the overflow rule says; `close()` lets the consumer finish
 * what is queued, `fail()` drops it. It does not support two concurrent readers.
 */
import { DynamoError } from './dynamo-error.ts';
import { abortError, onAbort, throwIfAborted } from './abort.ts';
import type { AbortOptions } from './abort.ts';

/** What happens to an item that finds the queue full. */
export type OverflowPolicy = 'wait' | 'drop-oldest' | 'reject';

/** Settings of a {@link BoundedQueue}. */
export interface BoundedQueueOptions {
  /** Most items held; at least 1. */
  readonly capacity: number;
  /** @default 'reject' */
  readonly overflow?: OverflowPolicy;
  /** Told about every item that `drop-oldest` discards. */
  readonly onDrop?: () => void;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly error: unknown };

/** Bounded FIFO between producers and one consumer. */
export class BoundedQueue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  readonly #capacity: number;
  readonly #overflow: OverflowPolicy;
  readonly #onDrop: (() => void) | undefined;
  readonly #spaceWaiters: (() => void)[] = [];
  #head = 0;
  #state: State = { kind: 'open' };
  #wakeReader: (() => void) | undefined;

  constructor(options: BoundedQueueOptions) {
    if (options.capacity < 1) throw new RangeError('BoundedQueue capacity must be at least 1');
    this.#capacity = options.capacity;
    this.#overflow = options.overflow ?? 'reject';
    this.#onDrop = options.onDrop;
  }

  /** Items waiting to be read. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  /**
   * Adds an item without waiting.
   *
   * @returns false when the queue is closed, or full and its policy is not `drop-oldest`
   */
  tryPush(item: T): boolean {
    if (this.#state.kind !== 'open') return false;
    if (this.size >= this.#capacity) {
      if (this.#overflow !== 'drop-oldest') return false;
      this.#takeHead();
      this.#onDrop?.();
    }
    this.#items.push(item);
    this.#wake();
    return true;
  }

  /**
   * Adds an item; with the policy `wait` it waits for space.
   *
   * @throws `capacity.queue_full` when full under `reject`; `runtime.closed` when closed
   */
  async push(item: T, options: AbortOptions = {}): Promise<void> {
    while (!this.tryPush(item)) {
      if (this.#state.kind !== 'open') throw new DynamoError('runtime.closed', 'queue is closed');
      if (this.#overflow === 'reject') {
        throw new DynamoError(
          'capacity.queue_full',
          `queue is full at ${this.#capacity} items; retry later`,
        );
      }
      await this.#waitForSpace(options.signal);
    }
  }

  /** Takes the next item if there is one. */
  tryShift(): T | undefined {
    return this.size > 0 ? this.#takeHead() : undefined;
  }

  /** Lets the consumer read what is queued and then ends its iteration. */
  close(): void {
    if (this.#state.kind === 'open') this.#state = { kind: 'closed' };
    this.#wake();
    this.#wakeSpaceWaiters();
  }

  /** Drops what is queued and makes the consumer throw `error`. */
  fail(error: unknown): void {
    if (this.#state.kind === 'failed') return;
    this.#items.length = 0;
    this.#head = 0;
    this.#state = { kind: 'failed', error };
    this.#wake();
    this.#wakeSpaceWaiters();
  }

  /** Waits for the next item; undefined when the queue is closed and empty. */
  async shift(options: AbortOptions = {}): Promise<T | undefined> {
    throwIfAborted(options.signal);
    for (;;) {
      if (this.#state.kind === 'failed') throw this.#state.error;
      if (this.size > 0) return this.#takeHead();
      if (this.#state.kind === 'closed') return undefined;
      await this.#waitForItem(options.signal);
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      const item = await this.shift();
      if (item === undefined) return;
      yield item;
    }
  }

  #takeHead(): T {
    const item = this.#items[this.#head] as T;
    this.#items[this.#head] = undefined as T;
    this.#head += 1;
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    this.#spaceWaiters.shift()?.();
    return item;
  }

  async #waitForItem(signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const off = onAbort(signal, () => {
        this.#wakeReader = undefined;
        if (signal !== undefined) reject(abortError(signal));
      });
      this.#wakeReader = () => {
        off();
        resolve();
      };
    });
  }

  async #waitForSpace(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    await new Promise<void>((resolve, reject) => {
      const waiter = (): void => {
        off();
        resolve();
      };
      const off = onAbort(signal, () => {
        const index = this.#spaceWaiters.indexOf(waiter);
        if (index >= 0) this.#spaceWaiters.splice(index, 1);
        if (signal !== undefined) reject(abortError(signal));
      });
      this.#spaceWaiters.push(waiter);
    });
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }

  #wakeSpaceWaiters(): void {
    for (const waiter of this.#spaceWaiters.splice(0)) waiter();
  }
}
