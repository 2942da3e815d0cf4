/** Our finished spans in the form that OpenTelemetry's processors take. Imported only when spans are exported. */
import { SpanKind as OtelKind, SpanStatusCode } from '@opentelemetry/api';
import type { HrTime, SpanContext } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';

import type { TraceContext } from './trace-context.ts';
import type { FinishedSpan, SpanKind } from './tracer.ts';

const KINDS: Readonly<Record<SpanKind, OtelKind>> = {
  internal: OtelKind.INTERNAL,
  server: OtelKind.SERVER,
  client: OtelKind.CLIENT,
  producer: OtelKind.PRODUCER,
  consumer: OtelKind.CONSUMER,
};

/** Converts a span. */
export function toReadableSpan(span: FinishedSpan, resource: Resource): ReadableSpan {
  const context = spanContext(span.context);
  return {
    name: span.name,
    kind: KINDS[span.kind],
    spanContext: () => context,
    ...(span.parent === undefined
      ? {}
      : { parentSpanContext: { ...spanContext(span.parent), isRemote: true } }),
    startTime: hrTime(span.startMs),
    endTime: hrTime(span.endMs),
    duration: hrTime(span.endMs - span.startMs),
    ended: true,
    status:
      span.error === undefined
        ? { code: SpanStatusCode.UNSET }
        : { code: SpanStatusCode.ERROR, message: errorMessage(span.error) },
    attributes: { ...span.attributes },
    links: span.links.map((link) => ({ context: spanContext(link) })),
    events: span.error === undefined ? [] : [errorEvent(span)],
    resource,
    instrumentationScope: { name: 'dynamo-ts' },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function spanContext(context: TraceContext): SpanContext {
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    traceFlags: context.sampled ? 1 : 0,
  };
}

function hrTime(ms: number): HrTime {
  return [Math.floor(ms / 1000), Math.round((ms % 1000) * 1_000_000)];
}

function errorEvent(span: FinishedSpan): ReadableSpan['events'][number] {
  const type = span.error instanceof Error ? span.error.name : typeof span.error;
  return {
    name: 'exception',
    time: hrTime(span.endMs),
    attributes: { 'exception.type': type, 'exception.message': errorMessage(span.error) },
  };
}

function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
