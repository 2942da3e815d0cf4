/** Counts and log lines of one publisher's frames. A broken engine repeats itself, so each kind is logged once a minute. */
import { systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type {
  BoundCounter,
  Counter,
  LogFields,
  Logger,
  MetricsRegistry,
} from '@dynamo-ts/telemetry';

import type { FrameProblem } from './event-frame.ts';
import { ENGINE_EVENTS_METRICS } from './metrics.ts';
import type { ReplayEnd } from './replay-client.ts';

/** Settings of {@link EngineEventReports}. */
export interface EngineEventReportsOptions {
  /** Label of the metrics. */
  readonly workerId: string;
  readonly dpRank: number;
  /** Named in log lines. */
  readonly endpoint: string;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly clock?: Clock | undefined;
}

const LOG_INTERVAL_MS = 60_000;

/** What became of one publisher's frames. */
export class EngineEventReports {
  readonly #labels: { readonly worker_id: string; readonly dp_rank: number };
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #malformed: Counter<'worker_id' | 'dp_rank' | 'problem'>;
  readonly #replays: Counter<'worker_id' | 'dp_rank' | 'outcome'>;
  readonly #lost: BoundCounter;
  readonly #logged = new Map<string, { atMs: number; suppressed: number }>();

  constructor(options: EngineEventReportsOptions) {
    const { dpRank, endpoint, logger, metrics, workerId } = options;
    this.#labels = { worker_id: workerId, dp_rank: dpRank };
    this.#logger = logger.child({ endpoint, dp_rank: dpRank });
    this.#clock = options.clock ?? systemClock;
    this.#malformed = metrics.counter(ENGINE_EVENTS_METRICS.malformedMessagesTotal);
    this.#replays = metrics.counter(ENGINE_EVENTS_METRICS.replaysTotal);
    this.#lost = metrics.counter(ENGINE_EVENTS_METRICS.droppedEventsTotal).bind(this.#labels);
  }

  /** A message is no frame. */
  malformed(problem: FrameProblem): void {
    this.#malformed.inc({ ...this.#labels, problem });
    this.#warn(problem, 'a message on the event socket is no event frame', { problem });
  }

  /** A frame's payload cannot be read; the sink counts those. */
  refused(reason: string): void {
    this.#warn(`refused ${reason}`, 'an event frame cannot be read', { reason });
  }

  /** The publisher began anew. */
  restarted(): void {
    this.#logger.info('the engine has begun a new event stream; its blocks were dropped');
  }

  /** Missing frames were asked for. */
  replayed(outcome: ReplayEnd | 'failed', error?: unknown): void {
    this.#replays.inc({ ...this.#labels, outcome });
    if (outcome === 'timeout' || outcome === 'failed') {
      this.#warn('replay', 'the replay socket did not answer', { outcome, error });
    }
  }

  /** Frames are gone for good. */
  lost(frames: bigint): void {
    this.#lost.inc(Number(frames));
    this.#warn('lost', 'event frames are lost; what the engine stored before is no longer known', {
      frames,
    });
  }

  /** The socket has no connection, or got one. */
  connection(state: 'connected' | 'disconnected' | 'unreachable'): void {
    if (state === 'connected') this.#logger.info('connected to the event socket of the engine');
    else if (state === 'disconnected') {
      this.#warn('disconnected', 'the event socket of the engine has closed the connection', {});
    } else this.#warn('unreachable', 'no connection to the event socket of the engine', {});
  }

  #warn(kind: string, message: string, fields: LogFields): void {
    const nowMs = this.#clock.monotonicMs();
    const last = this.#logged.get(kind);
    if (last !== undefined && nowMs - last.atMs < LOG_INTERVAL_MS) {
      last.suppressed += 1;
      return;
    }
    this.#logged.set(kind, { atMs: nowMs, suppressed: 0 });
    this.#logger.warn(message, { ...fields, not_logged: last?.suppressed ?? 0 });
  }
}
