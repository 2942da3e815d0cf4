/** Metrics of the parts that stand alone; the indexer's have the reference's names. */
import type { Counter, Histogram, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { HttpAnswer } from '../http/http-server.ts';
import { STANDALONE_METRICS } from './metrics.ts';

/** What an indexer has. */
export interface IndexerCounts {
  readonly workers: number;
  readonly models: number;
  readonly listeners: number;
}

/** Handles of the metrics. */
export class StandaloneMeter {
  readonly #metrics: MetricsRegistry;
  readonly #requests: Counter<'endpoint' | 'method'>;
  readonly #errors: Counter<'endpoint' | 'status_class'>;
  readonly #duration: Histogram<'endpoint'>;

  constructor(metrics: MetricsRegistry) {
    this.#metrics = metrics;
    this.#requests = metrics.counter(STANDALONE_METRICS.requestsTotal);
    this.#errors = metrics.counter(STANDALONE_METRICS.errorsTotal);
    this.#duration = metrics.histogram(STANDALONE_METRICS.durationSeconds);
  }

  /** A call was answered. Paths that are none are not told apart. */
  answered({ method, path = 'other', status, durationMs }: HttpAnswer): void {
    this.#requests.inc({ endpoint: path, method });
    this.#duration.observe({ endpoint: path }, durationMs / 1000);
    if (status >= 400)
      this.#errors.inc({ endpoint: path, status_class: `${Math.floor(status / 100)}xx` });
  }

  /** Reads the counts before each scrape. @returns an unsubscribe */
  follow(counts: () => IndexerCounts): () => void {
    const workers = this.#metrics.gauge(STANDALONE_METRICS.workers);
    const models = this.#metrics.gauge(STANDALONE_METRICS.models);
    const listeners = this.#metrics.gauge(STANDALONE_METRICS.listeners);
    return this.#metrics.onCollect(() => {
      const now = counts();
      workers.set(undefined, now.workers);
      models.set(undefined, now.models);
      listeners.set({ status: 'active' }, now.listeners);
    });
  }
}
