export type { LogDestination, LoggerOptions } from './create-logger.ts';
export { createLogger } from './create-logger.ts';
export { LogFilter } from './log-filter.ts';
export type { LogFields, Logger, LogLevel } from './logger.ts';
export { nullLogger } from './logger.ts';
export { logBuckets } from './buckets.ts';
export type {
  BoundCounter,
  BoundGauge,
  BoundHistogram,
  Counter,
  Gauge,
  Histogram,
} from './metric.ts';
export type {
  HistogramSpec,
  Labels,
  MetricDefinition,
  MetricDefinitions,
  MetricSpec,
} from './metric-spec.ts';
export { TELEMETRY_METRICS } from './metrics.ts';
export type { MetricsRegistryOptions } from './metrics-registry.ts';
export { METRICS_CONTENT_TYPE, MetricsRegistry } from './metrics-registry.ts';
export type { TraceContext, TraceHeaders } from './trace-context.ts';
export { extractTraceContext, injectTraceContext } from './trace-context.ts';
export type {
  AttributeValue,
  FinishedSpan,
  Span,
  SpanKind,
  SpanOptions,
  SpanSink,
  TracerOptions,
} from './tracer.ts';
export { Tracer } from './tracer.ts';
