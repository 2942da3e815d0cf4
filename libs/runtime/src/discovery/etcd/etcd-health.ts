/**
 * Whether etcd answers, said once when it goes and when it comes back, and now and then between.
 *
 * Whoever talks to etcd reports what happened; while it is away, a probe finds out when it is back, because nobody else
 * may be asking.
 */
import { setImmediate } from 'node:timers/promises';

import { Backoff } from '@dynamo-ts/base';
import type { Clock, TaskGroup } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import type { DiscoveryState } from '../discovery.ts';

/** Settings of an {@link EtcdHealth}. */
export interface EtcdHealthOptions {
  /** Asks etcd something small. */
  readonly probe: () => Promise<unknown>;
  readonly tasks: TaskGroup;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when etcd answers again. */
  readonly onRecovery: () => void;
}

const REMINDER_INTERVAL_MS = 10_000;

/** See the file comment. */
export class EtcdHealth {
  readonly #options: EtcdHealthOptions;
  /** `unknown` until the first answer or failure. */
  #state: DiscoveryState | 'unknown' = 'unknown';
  #downSinceMs = 0;
  #returnedAtMs = -Infinity;

  constructor(options: EtcdHealthOptions) {
    this.#options = options;
  }

  get state(): DiscoveryState {
    return this.#state === 'connected' ? 'connected' : 'disconnected';
  }

  /** Milliseconds until etcd has been there for so long without a break that was noticed; all of them while it is away. */
  settlesInMs(forMs: number): number {
    if (this.#state === 'disconnected') return forMs;
    return Math.max(this.#returnedAtMs + forMs - this.#options.clock.monotonicMs(), 0);
  }

  /** etcd answered. */
  noteAnswer(): void {
    const { clock, logger, onRecovery } = this.#options;
    const wasDown = this.#state === 'disconnected';
    this.#state = 'connected';
    if (!wasDown) return;
    this.#returnedAtMs = clock.monotonicMs();
    logger.info('etcd answers again', {
      away_ms: Math.round(clock.monotonicMs() - this.#downSinceMs),
    });
    onRecovery();
  }

  /** etcd could not be asked or answered with a failure. */
  noteFailure(error: unknown): void {
    const { clock, logger, tasks } = this.#options;
    if (this.#state === 'disconnected' || tasks.signal.aborted) return;
    this.#state = 'disconnected';
    this.#downSinceMs = clock.monotonicMs();
    logger.warn('etcd cannot be reached; trying again until it answers', { error });
    tasks.start('probe', (signal) => this.#probeUntilUp(signal));
  }

  /**
   * Asks etcd and notes what comes of it; no answer in time is a failure. When this process stood still itself the answer
   * may be here and unread: it is read before the verdict.
   */
  async check(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { clock, probe } = this.#options;
    const answered = new AbortController();
    const late = clock
      .sleep(timeoutMs, { signal: AbortSignal.any([signal, answered.signal]) })
      .then(() => setImmediate())
      .then(() => Promise.reject(new Error(`etcd did not answer within ${timeoutMs} ms`)));
    late.catch(() => undefined); // aborted by the answer
    try {
      await Promise.race([probe(), late]);
      this.noteAnswer();
    } catch (error) {
      if (!signal.aborted) this.noteFailure(error);
    } finally {
      answered.abort();
    }
  }

  async #probeUntilUp(signal: AbortSignal): Promise<void> {
    const { clock, logger, probe } = this.#options;
    const backoff = new Backoff();
    let remindAtMs = this.#downSinceMs + REMINDER_INTERVAL_MS;
    while (this.#state === 'disconnected') {
      try {
        await clock.sleep(backoff.nextMs(), { signal });
        await probe();
        this.noteAnswer();
      } catch (error) {
        if (signal.aborted) return;
        if (clock.monotonicMs() < remindAtMs) continue;
        remindAtMs += REMINDER_INTERVAL_MS;
        logger.warn('etcd is still away; trying again until it answers', { error });
      }
    }
  }
}
