import { expect, it } from 'vitest';

import { createTelemetry } from './telemetry.ts';

it.each([true, false])(
  'logs begin and end of every span, also unexported ones: %s',
  async (asked) => {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string): boolean => {
      lines.push(JSON.parse(line) as Record<string, unknown>);
      return true;
    };
    await using telemetry = createTelemetry({
      service: 'test',
      logJsonl: true,
      logSpanEvents: asked,
      logDestination: { write },
    });
    const parent = telemetry.tracer.startSpan('root');
    const span = telemetry.tracer.startSpan('child', {
      parent: parent.context,
      attributes: { model: 'm' },
    });
    span.setAttribute('worker_id', 'w');
    span.end();
    span.end();
    const ids = {
      span_name: 'child',
      trace_id: parent.context.traceId,
      span_id: span.context.spanId,
      parent_id: parent.context.spanId,
      model: 'm',
    };
    const events = lines.filter((line) => line['span_name'] === 'child');
    if (!asked) {
      expect(events).toEqual([]);
      return;
    }
    expect(events).toHaveLength(2);
    expect(events[0]).toMatchObject({ ...ids, message: 'SPAN_FIRST_ENTRY' });
    expect(events[1]).toMatchObject({
      ...ids,
      message: 'SPAN_CLOSED',
      worker_id: 'w',
      'time.duration_us': expect.any(Number) as unknown,
    });
  },
);
