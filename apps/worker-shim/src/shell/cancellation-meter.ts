import type { BoundCounter, BoundHistogram, MetricsRegistry } from '@dynamo-ts/telemetry';

import { WORKER_METRICS } from './metrics.ts';

/** What an engine was doing with a request when it was given up. */
export type CancelledPhase = 'queued' | 'prefill' | 'decode';

/** Which engine a {@link CancellationMeter} measures. */
export interface CancellationMeterScope {
  /** Instance id in hex. */
  readonly workerId: string;
  readonly engine: string;
}

/** Measures how long one engine takes to leave what was given up. */
export class CancellationMeter {
  readonly #latency: Readonly<Record<CancelledPhase, BoundHistogram>>;
  readonly #unconfirmed: Readonly<Record<CancelledPhase, BoundCounter>>;

  constructor(registry: MetricsRegistry, { workerId, engine }: CancellationMeterScope) {
    const latency = registry.histogram(WORKER_METRICS.cancellationLatencySeconds);
    const unconfirmed = registry.counter(WORKER_METRICS.cancellationUnconfirmedTotal);
    const bind = <T>(of: (labels: Labels) => T): Readonly<Record<CancelledPhase, T>> => ({
      queued: of({ worker_id: workerId, engine, phase: 'queued' }),
      prefill: of({ worker_id: workerId, engine, phase: 'prefill' }),
      decode: of({ worker_id: workerId, engine, phase: 'decode' }),
    });
    this.#latency = bind((labels) => latency.bind(labels));
    this.#unconfirmed = bind((labels) => unconfirmed.bind(labels));
  }

  /** The engine has left a request that was given up at `sinceUnixMs`. */
  confirmed(phase: CancelledPhase, sinceUnixMs: number): void {
    this.#latency[phase].observe(Math.max(0, Date.now() - sinceUnixMs) / 1000);
  }

  /** It has not said so within a minute. */
  unconfirmed(phase: CancelledPhase): void {
    this.#unconfirmed[phase].inc();
  }
}

interface Labels {
  readonly worker_id: string;
  readonly engine: string;
  readonly phase: CancelledPhase;
}
