/**
 * Says in the log why events of workers are not used. A broken worker repeats itself, so each reason is told once a minute at
 * most. Events of workers that are not known are no mistake: they have gone, or are another router's.
 */
import { instanceIdHex } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { FeedResult } from '@dynamo-ts/kv';
import type { Logger } from '@dynamo-ts/telemetry';

const INTERVAL_MS = 60_000;

/** Settings of a {@link RefusalLog}. */
export interface RefusalLogOptions {
  readonly logger: Logger;
  readonly clock: Clock;
}

/** What was refused and not told yet. */
export class RefusalLog {
  readonly #options: RefusalLogOptions;
  readonly #byReason = new Map<string, { atMs: number; notLogged: number }>();

  constructor(options: RefusalLogOptions) {
    this.#options = options;
  }

  /** Takes what became of a batch. */
  note({ refusedFor: reason }: FeedResult, publisherId: bigint): void {
    if (reason == null || reason === 'unknown_worker') return;
    const { clock, logger } = this.#options;
    const nowMs = clock.monotonicMs();
    const last = this.#byReason.get(reason);
    if (last !== undefined && nowMs - last.atMs < INTERVAL_MS) {
      last.notLogged += 1;
      return;
    }
    this.#byReason.set(reason, { atMs: nowMs, notLogged: 0 });
    logger.warn('KV events of a worker are not used', {
      reason,
      worker_id: instanceIdHex(publisherId),
      not_logged: last?.notLogged ?? 0,
    });
  }
}
