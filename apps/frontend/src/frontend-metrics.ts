/** Metrics of the frontend with handles bound per model, so that recording a batch of tokens is a few additions. */
import type {
  BoundCounter,
  BoundGauge,
  BoundHistogram,
  Counter,
  Histogram,
  HistogramSpec,
  MetricsRegistry,
} from '@dynamo-ts/telemetry';

import type { Buckets } from './bucket-options.ts';
import { FRONTEND_METRICS } from './metrics.ts';
import { MigrationMetrics } from './migration/migration-metrics.ts';

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
  readonly templateSeconds: BoundHistogram;
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
  /** Streams whose client does not read. */
  readonly waitingStreams: BoundGauge;
  readonly cancellationSeconds: Histogram<'phase'>;
  readonly disconnectedClients: BoundCounter;
  readonly tokenizerCacheHits: BoundCounter;
  readonly tokenizerCacheMisses: BoundCounter;
  readonly preprocessSeconds: BoundHistogram;
  readonly routeSeconds: BoundHistogram;
  readonly dispatchSeconds: BoundHistogram;
  /** Requests that are in a stage now. */
  readonly stages: Readonly<Record<'preprocess' | 'route' | 'dispatch', BoundGauge>>;
  readonly tokenizeMs: BoundHistogram;
  readonly detokenizeMs: BoundHistogram;
  readonly detokenizeTotalUs: BoundCounter;
  readonly detokenizeTokens: BoundCounter;
  readonly migration: MigrationMetrics;
  readonly #buckets: Buckets;
  readonly #models = new Map<string, ModelMetrics>();

  constructor(registry: MetricsRegistry, buckets: Buckets) {
    const metrics = FRONTEND_METRICS;
    const stages = registry.histogram(metrics.stageDurationSeconds);
    this.registry = registry;
    this.#buckets = buckets;
    this.requestsTotal = registry.counter(metrics.requestsTotal);
    this.requestsStarted = registry.counter(metrics.requestsStartedTotal);
    this.cancellations = registry.counter(metrics.modelCancellationTotal);
    this.waitingStreams = registry.gauge(metrics.waitingStreams).bind(undefined);
    this.cancellationSeconds = registry.histogram(metrics.cancellationLatencySeconds);
    this.rejections = registry.counter(metrics.modelRejectionTotal);
    this.disconnectedClients = registry.counter(metrics.disconnectedClients).bind(undefined);
    this.tokenizerCacheHits = registry.counter(metrics.tokenizerCacheHitsTotal).bind(undefined);
    this.tokenizerCacheMisses = registry.counter(metrics.tokenizerCacheMissesTotal).bind(undefined);
    this.preprocessSeconds = stages.bind({ stage: 'preprocess' });
    const latency = registry.histogram(metrics.tokenizerLatencyMs);
    this.tokenizeMs = latency.bind({ operation: 'tokenize' });
    this.detokenizeMs = latency.bind({ operation: 'detokenize' });
    this.detokenizeTotalUs = registry.counter(metrics.detokenizeTotalUs).bind(undefined);
    this.detokenizeTokens = registry.counter(metrics.detokenizeTokenCount).bind(undefined);
    const inStage = registry.gauge(metrics.stageRequests);
    this.stages = {
      preprocess: inStage.bind({ stage: 'preprocess', phase: '' }),
      route: inStage.bind({ stage: 'route', phase: 'aggregated' }),
      dispatch: inStage.bind({ stage: 'dispatch', phase: 'aggregated' }),
    };
    this.migration = new MigrationMetrics(registry);
    this.routeSeconds = stages.bind({ stage: 'route' });
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
    const of = this.#buckets;
    const labels = { model };
    const metrics = FRONTEND_METRICS;
    const histogram = (spec: HistogramSpec<'model'>, buckets: readonly number[]): BoundHistogram =>
      registry.histogram({ ...spec, buckets }).bind(labels);
    return {
      active: registry.gauge(metrics.activeRequests).bind(labels),
      inflight: registry.gauge(metrics.inflightRequests).bind(labels),
      queued: registry.gauge(metrics.queuedRequests).bind(labels),
      durationSeconds: histogram(metrics.requestDurationSeconds, of.requestDuration),
      inputTokens: histogram(metrics.inputSequenceTokens, of.inputSequence),
      outputTokens: histogram(metrics.outputSequenceTokens, of.outputSequence),
      cachedTokens: histogram(metrics.cachedTokens, of.inputSequence),
      outputTokensTotal: registry.counter(metrics.outputTokensTotal).bind(labels),
      firstTokenSeconds: histogram(metrics.timeToFirstTokenSeconds, of.ttft),
      interTokenSeconds: histogram(metrics.interTokenLatencySeconds, of.itl),
      templateSeconds: registry.histogram(metrics.templateSeconds).bind(labels),
      tokenizeSeconds: registry.histogram(metrics.tokenizeSeconds).bind(labels),
    };
  }
}
