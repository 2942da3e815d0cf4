import { abortError, onAbort, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions, Clock } from '@dynamo-ts/base';

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** Lets promise callbacks that are ready run, those that they make ready included. */
async function settle(): Promise<void> {
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
}

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  readonly #sleepers = new Set<Sleeper>();
  readonly #startMs: number;
  #elapsedMs = 0;

  constructor(options: { readonly startMs?: number } = {}) {
    this.#startMs = options.startMs ?? Date.UTC(2026, 0, 1);
  }

  /** How many callers sleep. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  now(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  async sleep(delayMs: number, options: AbortOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    await new Promise<void>((resolve, reject) => {
      const sleeper: Sleeper = {
        dueMs: this.#elapsedMs + delayMs,
        wake: () => {
          off();
          this.#sleepers.delete(sleeper);
          resolve();
        },
      };
      const off = onAbort(options.signal, () => {
        this.#sleepers.delete(sleeper);
        if (options.signal) reject(abortError(options.signal));
      });
      this.#sleepers.add(sleeper);
    });
  }

  /** Moves time forward, waking sleepers in the order in which they are due. */
  async advance(deltaMs: number): Promise<void> {
    const targetMs = this.#elapsedMs + deltaMs;
    await settle();
    for (let next = this.#nextDue(targetMs); next; next = this.#nextDue(targetMs)) {
      this.#elapsedMs = Math.max(this.#elapsedMs, next.dueMs);
      next.wake();
      await settle();
    }
    this.#elapsedMs = targetMs;
  }

  #nextDue(targetMs: number): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (sleeper.dueMs <= targetMs && (!next || sleeper.dueMs < next.dueMs)) next = sleeper;
    }
    return next;
  }
}
