/** Watches the event loop with a timer: how late it fires is how long something else held the loop. */
import type { BoundCounter, BoundHistogram, MetricsRegistry } from '@dynamo-ts/telemetry';

import { FRONTEND_METRICS } from './metrics.ts';

const INTERVAL_MS = 10;
const STALL_MS = 5;

/** Records the delay of the event loop until closed. */
export class EventLoopCanary implements Disposable {
  readonly #delays: BoundHistogram;
  readonly #stalls: BoundCounter;
  readonly #timer: NodeJS.Timeout;
  #due = performance.now() + INTERVAL_MS;

  constructor(metrics: MetricsRegistry) {
    this.#delays = metrics.histogram(FRONTEND_METRICS.eventLoopDelaySeconds).bind(undefined);
    this.#stalls = metrics.counter(FRONTEND_METRICS.eventLoopStallTotal).bind(undefined);
    this.#timer = setInterval(() => this.#tick(), INTERVAL_MS).unref();
  }

  /** Stops. Idempotent. */
  close(): void {
    clearInterval(this.#timer);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #tick(): void {
    const now = performance.now();
    const lateMs = Math.max(0, now - this.#due);
    this.#delays.observe(lateMs / 1000);
    if (lateMs > STALL_MS) this.#stalls.inc();
    this.#due = now + INTERVAL_MS;
  }
}
