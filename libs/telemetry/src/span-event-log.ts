/** Log lines for the begin and end of every span (RF 5.1, `DYN_LOGGING_SPAN_EVENTS`), so that traces can be read in logs. */
import type { Logger } from './logger.ts';
import type { TraceContext } from './trace-context.ts';
import type { FinishedSpan, SpanEvents, SpanOptions } from './tracer.ts';

/** Writes `SPAN_FIRST_ENTRY` and `SPAN_CLOSED` lines. */
export class SpanEventLog implements SpanEvents {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger.child({ target: 'telemetry.span' });
  }

  opened(name: string, context: TraceContext, { attributes, parent }: SpanOptions): void {
    this.#logger.info('SPAN_FIRST_ENTRY', { ...attributes, ...ids(name, context, parent) });
  }

  closed({ attributes, context, endMs, name, parent, startMs }: FinishedSpan): void {
    this.#logger.info('SPAN_CLOSED', {
      ...attributes,
      ...ids(name, context, parent),
      'time.duration_us': Math.round((endMs - startMs) * 1000),
    });
  }
}

function ids(
  name: string,
  { spanId, traceId }: TraceContext,
  parent: TraceContext | undefined,
): Readonly<Record<string, unknown>> {
  return { span_name: name, trace_id: traceId, span_id: spanId, parent_id: parent?.spanId };
}
