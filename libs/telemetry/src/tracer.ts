/**
 * Spans with ids of their own making. Without an exporter a span is two short strings and nothing is recorded, so that
 * log lines of all services can be joined by trace id at no cost; with one, finished sampled spans are handed over.
 */
import { createSpanId, createTraceId } from './trace-context.ts';
import type { TraceContext } from './trace-context.ts';

/** Value of a span attribute. */
export type AttributeValue = string | number | boolean;

/** Which side of a call a span describes. */
export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

/** Settings of a span. */
export interface SpanOptions {
  /** The span that caused this one; without it a new trace begins. */
  readonly parent?: TraceContext | undefined;
  readonly attributes?: Readonly<Record<string, AttributeValue>> | undefined;
  /** @default "internal" */
  readonly kind?: SpanKind | undefined;
  /** Other traces this span belongs to, for example the attempt before a migration. */
  readonly links?: readonly TraceContext[] | undefined;
}

/** One timed operation of a trace. */
export interface Span {
  readonly context: TraceContext;
  setAttribute(key: string, value: AttributeValue): void;
  /** Marks the span as failed. */
  recordError(error: unknown): void;
  /** Ends the span; later calls do nothing. */
  end(): void;
}

/** Everything about a finished span that an exporter needs. */
export interface FinishedSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly context: TraceContext;
  readonly parent: TraceContext | undefined;
  readonly links: readonly TraceContext[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly error: unknown;
  /** Milliseconds since the Unix epoch, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
}

/** Takes finished spans; must not block or throw. */
export type SpanSink = (span: FinishedSpan) => void;

/** Settings of a {@link Tracer}. */
export interface TracerOptions {
  /** Where sampled spans go; without it nothing is recorded. */
  readonly sink?: SpanSink | undefined;
  /** Share of new traces that are sampled, 0 to 1; a parent's decision is kept. @default 1 */
  readonly sampleRatio?: number | undefined;
  /** Told about every span's begin and end. */
  readonly events?: SpanEvents | undefined;
}

/** Told about every span, exported or not; must not block or throw. */
export interface SpanEvents {
  opened(name: string, context: TraceContext, options: SpanOptions): void;
  closed(span: FinishedSpan): void;
}

/** Starts spans. */
export class Tracer {
  readonly #sink: SpanSink | undefined;
  readonly #events: SpanEvents | undefined;
  readonly #sampleRatio: number;

  constructor(options: TracerOptions = {}) {
    this.#sink = options.sink;
    this.#events = options.events;
    this.#sampleRatio = options.sampleRatio ?? 1;
  }

  /** Starts a span; the caller ends it. */
  startSpan(name: string, options: SpanOptions = {}): Span {
    const { parent } = options;
    const traceId = parent?.traceId ?? createTraceId();
    const context: TraceContext = {
      traceId,
      spanId: createSpanId(),
      sampled: parent?.sampled ?? (this.#sink !== undefined && this.#samples(traceId)),
      ...(parent?.traceState === undefined ? {} : { traceState: parent.traceState }),
    };
    const sink = this.#sinkOf(context);
    this.#events?.opened(name, context, options);
    return sink === undefined
      ? new UnrecordedSpan(context)
      : new RecordedSpan({ name, context, options, sink });
  }

  /** Who is told of the span's end; undefined when nobody is. */
  #sinkOf({ sampled }: TraceContext): SpanSink | undefined {
    const events = this.#events;
    const sink = sampled ? this.#sink : undefined;
    if (events === undefined) return sink;
    return (span) => {
      events.closed(span);
      sink?.(span);
    };
  }

  /** The same trace id gives the same answer in every service (OpenTelemetry's TraceIdRatioBased). */
  #samples(traceId: string): boolean {
    const low = Number.parseInt(traceId.slice(18), 16);
    return low < this.#sampleRatio * 2 ** 56;
  }
}

class UnrecordedSpan implements Span {
  readonly context: TraceContext;

  constructor(context: TraceContext) {
    this.context = context;
  }

  setAttribute(): void {}

  recordError(): void {}

  end(): void {}
}

interface RecordedSpanOptions {
  readonly name: string;
  readonly context: TraceContext;
  readonly options: SpanOptions;
  readonly sink: SpanSink;
}

class RecordedSpan implements Span {
  readonly context: TraceContext;
  readonly #made: RecordedSpanOptions;
  readonly #startMs = performance.timeOrigin + performance.now();
  readonly #attributes: Record<string, AttributeValue>;
  #error: unknown;
  #ended = false;

  constructor(made: RecordedSpanOptions) {
    this.context = made.context;
    this.#made = made;
    this.#attributes = { ...made.options.attributes };
  }

  setAttribute(key: string, value: AttributeValue): void {
    this.#attributes[key] = value;
  }

  recordError(error: unknown): void {
    this.#error = error;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const { name, context, options, sink } = this.#made;
    sink({
      name,
      context,
      kind: options.kind ?? 'internal',
      parent: options.parent,
      links: options.links ?? [],
      attributes: this.#attributes,
      error: this.#error,
      startMs: this.#startMs,
      endMs: performance.timeOrigin + performance.now(),
    });
  }
}
