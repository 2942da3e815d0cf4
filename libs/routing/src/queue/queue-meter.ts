import type { MetricsRegistry } from '@dynamo-ts/telemetry';

import { QUEUE_METRICS } from './metrics.ts';
import type { ClassLimit, WaitingClass } from './waiting-class.ts';

/** Why a request left the queue without a place. */
export type QueueRejection = ClassLimit | 'capacity' | 'timeout' | 'cancelled';

/** What a {@link QueueMeter} counts for. */
export interface QueueMeterOptions {
  readonly metrics: MetricsRegistry;
  readonly model: string;
  readonly workerType: string;
  readonly classes: readonly WaitingClass[];
}

/** One queue's metrics. The gauges are computed at each scrape. */
export class QueueMeter implements Disposable {
  readonly #metrics: MetricsRegistry;
  readonly #labels: { readonly model: string; readonly worker_type: string };
  readonly #classes: readonly WaitingClass[];
  readonly #offCollect: () => void;

  constructor(options: QueueMeterOptions) {
    this.#metrics = options.metrics;
    this.#labels = { model: options.model, worker_type: options.workerType };
    this.#classes = options.classes;
    this.#offCollect = options.metrics.onCollect(() => {
      this.#collect();
    });
    // So that a rate over them starts from zero, the counters are there from the beginning.
    for (const { policyClass } of options.classes) this.rejected(policyClass.name, 'timeout', 0);
  }

  placed(policyClass: string, waitedMs: number): void {
    const labels = { ...this.#labels, policy_class: policyClass };
    this.#metrics.histogram(QUEUE_METRICS.waitSeconds).observe(labels, waitedMs / 1000);
  }

  rejected(policyClass: string, reason: QueueRejection, by = 1): void {
    const labels = { ...this.#labels, policy_class: policyClass, reason };
    this.#metrics.counter(QUEUE_METRICS.rejectionsTotal).inc(labels, by);
  }

  unknownClass(): void {
    this.#metrics.counter(QUEUE_METRICS.unknownClassTotal).inc(this.#labels);
  }

  /** The series show nothing any more. */
  [Symbol.dispose](): void {
    this.#offCollect();
    for (const gauge of this.#gauges())
      for (const { policyClass } of this.#classes)
        gauge.remove({ ...this.#labels, policy_class: policyClass.name });
  }

  #collect(): void {
    const [requests, islTokens, cachedTokens] = this.#gauges();
    for (const { stats } of this.#classes) {
      const labels = { ...this.#labels, policy_class: stats.policyClass };
      requests.set(labels, stats.pendingCount);
      islTokens.set(labels, stats.pendingIslTokens);
      cachedTokens.set(labels, stats.pendingCachedTokens);
    }
  }

  #gauges() {
    const { pendingRequests, pendingIslTokens, pendingCachedTokens } = QUEUE_METRICS;
    return [
      this.#metrics.gauge(pendingRequests),
      this.#metrics.gauge(pendingIslTokens),
      this.#metrics.gauge(pendingCachedTokens),
    ] as const;
  }
}
