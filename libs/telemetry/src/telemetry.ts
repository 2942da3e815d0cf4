import { createLogger } from './create-logger.ts';
import type { LogDestination } from './create-logger.ts';
import type { Logger } from './logger.ts';
import { MetricsRegistry } from './metrics-registry.ts';
import { SpanEventLog } from './span-event-log.ts';
import { SpanExport } from './span-export.ts';
import type { OtlpProtocol } from './span-export.ts';
import { Tracer } from './tracer.ts';

/**
 * Settings of {@link createTelemetry}. Names are those of the common options of `@dynamo-ts/config`, so that a service
 * passes its configuration as it is: `createTelemetry({ service: 'frontend', ...config })`.
 */
export interface TelemetryOptions {
  readonly service: string;
  /** `DYN_LOG`. @default "info" */
  readonly logFilter?: string | undefined;
  /** `DYN_LOGGING_JSONL`. @default false */
  readonly logJsonl?: boolean | undefined;
  /** `DYN_LOGGING_CONSOLE_FORMAT`. @default "readable" */
  readonly logConsoleFormat?: 'readable' | 'jsonl' | undefined;
  /** `DYN_LOG_USE_LOCAL_TZ`. @default false */
  readonly logLocalTime?: boolean | undefined;
  /** `DYN_LOGGING_SPAN_EVENTS`: a line when a span begins and one when it ends. @default false */
  readonly logSpanEvents?: boolean | undefined;
  /** `DYN_SDK_DISABLE_ANSI_LOGGING`: no colours even on a terminal. @default false */
  readonly logPlain?: boolean | undefined;
  /** @default stderr */
  readonly logDestination?: LogDestination | undefined;
  /** `DYN_METRICS_PREFIX`. @default "dynamo_frontend" */
  readonly metricsPrefix?: string | undefined;
  /** `OTEL_EXPORT_ENABLED`. @default false */
  readonly otelExportEnabled?: boolean | undefined;
  /** `OTEL_EXPORTER_OTLP_ENDPOINT`. @default http://localhost:4317 (grpc), http://localhost:4318 (http/protobuf) */
  readonly otlpEndpoint?: string | undefined;
  /** `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, used as it is. */
  readonly otlpTracesEndpoint?: string | undefined;
  /** `OTEL_EXPORTER_OTLP_PROTOCOL`. @default "grpc" */
  readonly otlpProtocol?: OtlpProtocol | undefined;
  /** `OTEL_SERVICE_NAME`. @default the service */
  readonly otelServiceName?: string | undefined;
  /** `OTEL_TRACES_SAMPLE_RATIO`. @default 1 */
  readonly otelSampleRatio?: number | undefined;
}

/** What a service reports through. */
export interface Telemetry extends AsyncDisposable {
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly tracer: Tracer;
  /** Sends what is still held; the last step of a shutdown. */
  close(): Promise<void>;
}

/** Makes logger, metrics and tracer of one process. @throws config.invalid when the log filter is not understood */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  const logger = createLogger({
    service: options.service,
    filter: options.logFilter,
    jsonl: options.logJsonl === true || options.logConsoleFormat === 'jsonl',
    color: options.logPlain === true ? false : undefined,
    localTime: options.logLocalTime,
    destination: options.logDestination,
  });
  const metrics = new MetricsRegistry({ prefix: options.metricsPrefix, processMetrics: true });
  const spanExport = options.otelExportEnabled === true ? startExport(options, logger) : undefined;
  const tracer = new Tracer({
    sink: spanExport === undefined ? undefined : (span) => spanExport.add(span),
    sampleRatio: options.otelSampleRatio,
    events: options.logSpanEvents === true ? new SpanEventLog(logger) : undefined,
  });
  const close = async (): Promise<void> => spanExport?.close();
  return { logger, metrics, tracer, close, [Symbol.asyncDispose]: close };
}

function startExport(options: TelemetryOptions, logger: Logger): SpanExport {
  const protocol = options.otlpProtocol ?? 'grpc';
  return new SpanExport({
    serviceName: options.otelServiceName ?? options.service,
    protocol,
    endpoint: options.otlpTracesEndpoint ?? tracesEndpoint(protocol, options.otlpEndpoint),
    logger: logger.child({ target: 'telemetry.export' }),
  });
}

/** OTLP over HTTP has one path per signal under the common endpoint; gRPC has none. */
function tracesEndpoint(protocol: OtlpProtocol, endpoint: string | undefined): string {
  if (protocol === 'grpc') return endpoint ?? 'http://localhost:4317';
  return `${(endpoint ?? 'http://localhost:4318').replace(/\/$/, '')}/v1/traces`;
}
