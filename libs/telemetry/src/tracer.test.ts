import { describe, expect, it } from 'vitest';

import { Tracer } from './tracer.ts';
import type { FinishedSpan } from './tracer.ts';

describe('Tracer', () => {
  it('makes new ids without an exporter and marks the trace as not recorded', () => {
    const tracer = new Tracer();
    const one = tracer.startSpan('a').context;
    const two = tracer.startSpan('a').context;
    expect(one.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(one.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(one.sampled).toBe(false);
    expect(two.traceId).not.toBe(one.traceId);
  });

  it('makes ten thousand different ids', () => {
    const tracer = new Tracer();
    const ids = Array.from({ length: 10_000 }, () => tracer.startSpan('a').context);
    expect(new Set(ids.map((id) => id.traceId)).size).toBe(10_000);
    expect(new Set(ids.map((id) => id.spanId)).size).toBe(10_000);
  });

  it("continues the parent's trace, its decision and its vendor data", () => {
    const parent = {
      traceId: 'a'.repeat(32),
      spanId: 'b'.repeat(16),
      sampled: true,
      traceState: 'x=1',
    };
    const { context } = new Tracer().startSpan('child', { parent });
    expect(context).toMatchObject({ traceId: parent.traceId, sampled: true, traceState: 'x=1' });
    expect(context.spanId).not.toBe(parent.spanId);
  });

  it('hands a finished span over once, with attributes, error and times', () => {
    const spans: FinishedSpan[] = [];
    const tracer = new Tracer({ sink: (span) => void spans.push(span) });
    const span = tracer.startSpan('http-request', {
      kind: 'server',
      attributes: { method: 'POST' },
    });
    span.setAttribute('model', 'm');
    const error = new Error('no');
    span.recordError(error);
    span.end();
    span.end();
    expect(spans).toHaveLength(1);
    expect(spans[0]).toMatchObject({
      name: 'http-request',
      kind: 'server',
      attributes: { method: 'POST', model: 'm' },
      error,
    });
    expect(spans[0]?.endMs).toBeGreaterThanOrEqual(spans[0]?.startMs ?? Infinity);
  });

  it('does not record what the caller does not record', () => {
    const spans: FinishedSpan[] = [];
    const tracer = new Tracer({ sink: (span) => void spans.push(span) });
    const parent = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), sampled: false };
    tracer.startSpan('x', { parent }).end();
    expect(spans).toEqual([]);
  });

  it('samples about the given share of new traces', () => {
    const tracer = new Tracer({ sink: () => undefined, sampleRatio: 0.25 });
    const sampled = Array.from({ length: 10_000 }, () => tracer.startSpan('x').context).filter(
      (context) => context.sampled,
    ).length;
    expect(sampled).toBeGreaterThan(2000);
    expect(sampled).toBeLessThan(3000);
  });
});
