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

/** What waits in a class, as the gauges show it. */
type Pending = readonly [requests: number, islTokens: number, cachedTokens: number];

const NOTHING: Pending = [0, 0, 0];

/** One queue's metrics. The gauges are computed at each scrape; queues of one model at several endpoints add up. */
export class QueueMeter implements Disposable {
  readonly #metrics: MetricsRegistry;
  readonly #labels: { readonly model: string; readonly worker_type: string };
  readonly #classes: readonly WaitingClass[];
  readonly #offCollect: () => void;
  /** This queue's part of the gauges, by class. */
  readonly #shown = new Map<string, Pending>();

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

  /** The series show nothing of this queue any more. */
  [Symbol.dispose](): void {
    this.#offCollect();
    for (const { policyClass } of this.#classes) {
      this.#show(policyClass.name, NOTHING);
      this.#removeEmpty(policyClass.name);
    }
  }

  #collect(): void {
    for (const { stats } of this.#classes) {
      const { policyClass, pendingCount, pendingIslTokens, pendingCachedTokens } = stats;
      this.#show(policyClass, [pendingCount, pendingIslTokens, pendingCachedTokens]);
    }
  }

  #show(policyClass: string, pending: Pending): void {
    const labels = { ...this.#labels, policy_class: policyClass };
    const before = this.#shown.get(policyClass) ?? NOTHING;
    for (const [index, gauge] of this.#gauges().entries())
      gauge.inc(labels, (pending[index] ?? 0) - (before[index] ?? 0));
    this.#shown.set(policyClass, pending);
  }

  /** Another queue of the model makes its series again at the next scrape. */
  #removeEmpty(policyClass: string): void {
    const own = { ...this.#labels, policy_class: policyClass };
    for (const gauge of this.#gauges()) {
      const samples = [...gauge.samples()];
      if (samples.some(({ labels, value }) => value === 0 && isSame(labels, own)))
        gauge.remove(own);
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

function isSame(
  labels: Readonly<Record<string, unknown>>,
  others: Readonly<Record<string, unknown>>,
): boolean {
  return Object.entries(others).every(([name, value]) => labels[name] === value);
}
