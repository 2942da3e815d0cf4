import { MetricsRegistry } from '@dynamo-ts/telemetry';
import type { BoundCounter, Logger } from '@dynamo-ts/telemetry';

import type { EventPlane } from './event-plane.ts';
import { EVENT_PLANE_METRICS } from './metrics.ts';

/** Why an event was not delivered. */
export type DropReason =
  /** The broker is away. */
  | 'disconnected'
  /** The broker or a subscriber's connection takes less than is published. */
  | 'congested'
  /** The subscriber in this process reads too slowly. */
  | 'slow_subscriber'
  /** Larger than the broker accepts. */
  | 'too_large';

const LOG_INTERVAL_MS = 10_000;

/** Counts dropped events, and says so at most every ten seconds. */
export class EventDrops {
  readonly #counters: Readonly<Record<DropReason, BoundCounter>>;
  readonly #logger: Logger;
  #silentUntilMs = 0;

  constructor(options: {
    readonly plane: EventPlane['backend'];
    readonly logger: Logger;
    readonly metrics?: MetricsRegistry | undefined;
  }) {
    const metrics = options.metrics ?? new MetricsRegistry();
    const counter = metrics.counter(EVENT_PLANE_METRICS.droppedTotal);
    const bind = (reason: DropReason): BoundCounter =>
      counter.bind({ plane: options.plane, reason });
    this.#counters = {
      disconnected: bind('disconnected'),
      congested: bind('congested'),
      slow_subscriber: bind('slow_subscriber'),
      too_large: bind('too_large'),
    };
    this.#logger = options.logger;
  }

  /** One event of a subject was dropped. */
  count(reason: DropReason, subject: string): void {
    this.#counters[reason].inc();
    const nowMs = performance.now();
    if (nowMs < this.#silentUntilMs) return;
    this.#silentUntilMs = nowMs + LOG_INTERVAL_MS;
    this.#logger.warn('Events are being dropped', { reason, subject });
  }
}
