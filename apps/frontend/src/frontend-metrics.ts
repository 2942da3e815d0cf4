/** Metrics of the frontend with handles bound per model, so that recording a batch of tokens is a few additions. */
import type {
  BoundCounter,
  BoundGauge,
  BoundHistogram,
  Counter,
  MetricsRegistry,
} from '@dynamo-ts/telemetry';

import { FRONTEND_METRICS } from './metrics.ts';

/** Label of every model name that is not served, so that unknown names make no new series. */
export const UNKNOWN_MODEL = 'unknown_model';

/** Bound handles of one model. */
export interface ModelMetrics {
  readonly active: BoundGauge;
  readonly inflight: BoundGauge;
  readonly queued: BoundGauge;
  readonly durationSeconds: BoundHistogram;
  readonly inputTokens: BoundHistogram;
  readonly outputTokens: BoundHistogram;
  readonly cachedTokens: BoundHistogram;
  readonly outputTokensTotal: BoundCounter;
  readonly firstTokenSeconds: BoundHistogram;
  readonly interTokenSeconds: BoundHistogram;
  readonly tokenizeSeconds: BoundHistogram;
}

type RequestLabel = 'model' | 'endpoint' | 'request_type';

/** All metrics of the frontend. */
export class FrontendMetrics {
  readonly registry: MetricsRegistry;
  readonly requestsTotal: Counter<RequestLabel | 'status' | 'error_type'>;
  readonly requestsStarted: Counter<RequestLabel>;
  readonly cancellations: Counter<RequestLabel>;
  readonly rejections: Counter<'model' | 'endpoint'>;
  readonly disconnectedClients: BoundCounter;
  readonly tokenizerCacheHits: BoundCounter;
  readonly tokenizerCacheMisses: BoundCounter;
  readonly preprocessSeconds: BoundHistogram;
  readonly dispatchSeconds: BoundHistogram;
  readonly #models = new Map<string, ModelMetrics>();

  constructor(registry: MetricsRegistry) {
    const metrics = FRONTEND_METRICS;
    const stages = registry.histogram(metrics.stageDurationSeconds);
    this.registry = registry;
    this.requestsTotal = registry.counter(metrics.requestsTotal);
    this.requestsStarted = registry.counter(metrics.requestsStartedTotal);
    this.cancellations = registry.counter(metrics.modelCancellationTotal);
    this.rejections = registry.counter(metrics.modelRejectionTotal);
    this.disconnectedClients = registry.counter(metrics.disconnectedClients).bind(undefined);
    this.tokenizerCacheHits = registry.counter(metrics.tokenizerCacheHitsTotal).bind(undefined);
    this.tokenizerCacheMisses = registry.counter(metrics.tokenizerCacheMissesTotal).bind(undefined);
    this.preprocessSeconds = stages.bind({ stage: 'preprocess' });
    this.dispatchSeconds = stages.bind({ stage: 'dispatch' });
  }

  /** Handles of a model that is served, or of {@link UNKNOWN_MODEL}. */
  model(model: string): ModelMetrics {
    const known = this.#models.get(model);
    if (known !== undefined) return known;
    const made = this.#bind(model);
    this.#models.set(model, made);
    return made;
  }

  #bind(model: string): ModelMetrics {
    const { registry } = this;
    const labels = { model };
    const metrics = FRONTEND_METRICS;
    return {
      active: registry.gauge(metrics.activeRequests).bind(labels),
      inflight: registry.gauge(metrics.inflightRequests).bind(labels),
      queued: registry.gauge(metrics.queuedRequests).bind(labels),
      durationSeconds: registry.histogram(metrics.requestDurationSeconds).bind(labels),
      inputTokens: registry.histogram(metrics.inputSequenceTokens).bind(labels),
      outputTokens: registry.histogram(metrics.outputSequenceTokens).bind(labels),
      cachedTokens: registry.histogram(metrics.cachedTokens).bind(labels),
      outputTokensTotal: registry.counter(metrics.outputTokensTotal).bind(labels),
      firstTokenSeconds: registry.histogram(metrics.timeToFirstTokenSeconds).bind(labels),
      interTokenSeconds: registry.histogram(metrics.interTokenLatencySeconds).bind(labels),
      tokenizeSeconds: registry.histogram(metrics.tokenizeSeconds).bind(labels),
    };
  }
}
