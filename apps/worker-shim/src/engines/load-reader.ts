/**
 * Asks a busy engine what it really holds: when its load changes, and then at most once a second. A quiet engine is never
 * asked.
 */
import { TaskGroup, systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';

import type { LoadTracker, ObservedLoad } from './load-tracker.ts';

/** Settings of a {@link LoadReader}. */
export interface LoadReaderOptions {
  /** Undefined: the engine does not tell, and is not asked again. */
  readonly read: (signal: AbortSignal) => Promise<readonly ObservedLoad[] | undefined>;
  readonly load: () => LoadTracker | undefined;
  readonly clock?: Clock | undefined;
}

const MIN_INTERVAL_MS = 1000;

/** Reads one engine's load. */
export class LoadReader implements AsyncDisposable {
  readonly #options: LoadReaderOptions;
  readonly #clock: Clock;
  // An engine that does not answer now is asked again with the next change.
  readonly #tasks = new TaskGroup({ name: 'engine load', onError: () => undefined });
  #lastMs = -Infinity;
  #tells = true;

  constructor(options: LoadReaderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** The load has changed. Costs next to nothing when called often. */
  changed(): void {
    const nowMs = this.#clock.monotonicMs();
    const { signal } = this.#tasks;
    if (!this.#tells || this.#tasks.size > 0 || nowMs - this.#lastMs < MIN_INTERVAL_MS) return;
    if (signal.aborted || this.#options.load()?.isBusy !== true) return;
    this.#lastMs = nowMs;
    this.#tasks.start('read', (stop) => this.#read(stop));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#tasks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #read(signal: AbortSignal): Promise<void> {
    const loads = await this.#options.read(signal);
    this.#tells = loads !== undefined;
    if (loads !== undefined) this.#options.load()?.observe(loads);
  }
}
