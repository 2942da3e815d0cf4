/**
 * Sends finished spans by OTLP. The OpenTelemetry SDK is imported in the background, because it takes longer to load than
 * the rest of a service; spans that end before it is there wait in a bounded buffer.
 */
import type { SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace-base';

import type { Logger } from './logger.ts';
import type { FinishedSpan } from './tracer.ts';

/** How spans travel. */
export type OtlpProtocol = 'grpc' | 'http/protobuf';

/** Settings of a {@link SpanExport}. */
export interface SpanExportOptions {
  readonly serviceName: string;
  readonly protocol: OtlpProtocol;
  /** Full address of the collector. */
  readonly endpoint: string;
  readonly logger: Logger;
}

/** Spans held while the SDK loads; further ones are dropped. */
const MAX_EARLY_SPANS = 2048;

/** Batches spans and sends them to a collector. */
export class SpanExport {
  readonly #options: SpanExportOptions;
  readonly #early: FinishedSpan[] = [];
  readonly #loading: Promise<void>;
  #add: ((span: FinishedSpan) => void) | undefined;
  #processor: SpanProcessor | undefined;

  constructor(options: SpanExportOptions) {
    this.#options = options;
    this.#loading = this.#load().catch((error: unknown) =>
      options.logger.error('span export is off: the exporter cannot be loaded', { error }),
    );
  }

  /** Takes a span over. */
  add(span: FinishedSpan): void {
    if (this.#add !== undefined) this.#add(span);
    else if (this.#early.length < MAX_EARLY_SPANS) this.#early.push(span);
  }

  /** Sends what is held. */
  async close(): Promise<void> {
    await this.#loading;
    await this.#processor?.shutdown();
  }

  async #load(): Promise<void> {
    const { serviceName, logger, endpoint, protocol } = this.#options;
    const [{ BatchSpanProcessor }, { toReadableSpan }, { resourceFromAttributes }] =
      await Promise.all([
        import('@opentelemetry/sdk-trace-base'),
        import('./readable-span.ts'),
        import('@opentelemetry/resources'),
      ]);
    const processor = new BatchSpanProcessor(await this.#exporter());
    const resource = resourceFromAttributes({ 'service.name': serviceName });
    this.#processor = processor;
    this.#add = (span) => processor.onEnd(toReadableSpan(span, resource));
    for (const span of this.#early.splice(0)) this.#add(span);
    logger.info('spans are exported', { endpoint, protocol });
  }

  async #exporter(): Promise<SpanExporter> {
    const { endpoint: url, protocol } = this.#options;
    if (protocol === 'grpc') {
      const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-grpc');
      return new OTLPTraceExporter({ url });
    }
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto');
    return new OTLPTraceExporter({ url });
  }
}
