/**
 * Notices an engine that has stopped answering while nobody asks it (RF 1.15). After a quiet time it sends one request of
 * one token through the worker's own handler: an answer without error means ready, anything else not ready. While requests
 * run there is no probe; when they make no progress for too long, the worker is not ready either.
 */
import { TaskGroup, systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { HealthStatus, Logger } from '@dynamo-ts/telemetry';

import { probeEngine } from './probe-engine.ts';
import type { EngineProbe } from './probe-engine.ts';

/** Settings of a {@link Canary}. */
export interface CanaryOptions extends EngineProbe {
  readonly onStatus: (status: HealthStatus) => void;
  /** Time without traffic before a probe; also how often the worker is looked at. */
  readonly waitMs: number;
  /** Longest time in which running requests may give no token. */
  readonly busyStallMs: number;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Looks after one worker. */
export class Canary implements AsyncDisposable {
  readonly #options: CanaryOptions;
  readonly #clock: Clock;
  readonly #tasks: TaskGroup;
  #status: HealthStatus = 'ready';

  constructor(options: CanaryOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#tasks = new TaskGroup({
      name: 'canary',
      onError: (error) => {
        options.logger.error('the canary has stopped', { error });
      },
    });
  }

  /** Begins to look. */
  start(): void {
    this.#tasks.start('watch', (signal) => this.#watch(signal));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#tasks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #watch(signal: AbortSignal): Promise<never> {
    const { busyStallMs, handler, waitMs } = this.#options;
    let stalledMs = 0;
    for (;;) {
      const before = handler.writes;
      await this.#clock.sleep(waitMs, { signal });
      const isIdle = handler.openCount === 0;
      stalledMs = handler.writes === before && !isIdle ? stalledMs + waitMs : 0;
      if (handler.writes !== before) this.#report('ready');
      else if (isIdle) await this.#probe(signal);
      else if (stalledMs >= busyStallMs) this.#report('notready', 'running requests get no tokens');
    }
  }

  async #probe(signal: AbortSignal): Promise<void> {
    try {
      await probeEngine(this.#options, signal);
      this.#report('ready');
    } catch (error) {
      if (signal.aborted) throw error;
      this.#report('notready', error);
    }
  }

  #report(status: HealthStatus, problem?: unknown): void {
    if (status === this.#status) return;
    this.#status = status;
    const { logger, onStatus } = this.#options;
    if (status === 'ready') logger.info('the engine answers again');
    else logger.warn('the engine does not answer', { error: problem });
    onStatus(status);
  }
}
