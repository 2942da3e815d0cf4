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
export type {
  EndpointHealthOptions,
  HealthSnapshot,
  HealthStateOptions,
  HealthStatus,
} from './health-state.ts';
export { HealthState } from './health-state.ts';
export type { SystemAction, SystemPage, SystemServerOptions } from './system-server.ts';
export { SystemServer } from './system-server.ts';
export type { OtlpProtocol } from './span-export.ts';
export type { Telemetry, TelemetryOptions } from './telemetry.ts';
export { createTelemetry } from './telemetry.ts';
