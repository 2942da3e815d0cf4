import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { extractTraceContext, injectTraceContext } from './trace-context.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('extractTraceContext', () => {
  it('reads a sampled parent with its vendor data', () => {
    const headers = { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'a=1,b@v=2' };
    expect(extractTraceContext(headers)).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      sampled: true,
      traceState: 'a=1,b@v=2',
    });
  });

  it('accepts a later version with more fields', () => {
    expect(extractTraceContext({ traceparent: `01-${TRACE}-${SPAN}-00-more` })).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      sampled: false,
    });
  });

  it.each([
    ['no header', undefined],
    ['version ff', `ff-${TRACE}-${SPAN}-01`],
    ['version 00 with more fields', `00-${TRACE}-${SPAN}-01-x`],
    ['an all-zero trace id', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['an all-zero span id', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['a short id', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['a non-hex digit', `00-${TRACE.slice(1)}g-${SPAN}-01`],
    ['nothing', ''],
  ])('ignores %s', (_, traceparent) => {
    expect(extractTraceContext({ traceparent })).toBeUndefined();
  });

  it('ignores malformed vendor data but keeps the parent', () => {
    const headers = { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'no equals sign' };
    expect(extractTraceContext(headers)).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true });
  });

  it('never throws, whatever comes in', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (traceparent, tracestate) => {
        extractTraceContext({ traceparent, tracestate });
      }),
    );
  });
});

describe('injectTraceContext', () => {
  it('is read back as it was', () => {
    const context = { traceId: TRACE, spanId: SPAN, sampled: true, traceState: 'a=1' };
    expect(extractTraceContext(injectTraceContext(context))).toEqual(context);
    const plain = { traceId: TRACE, spanId: SPAN, sampled: false };
    expect(extractTraceContext(injectTraceContext(plain))).toEqual(plain);
  });

  it('keeps other headers', () => {
    const context = { traceId: TRACE, spanId: SPAN, sampled: true };
    expect(injectTraceContext(context, { host: 'x' })).toHaveProperty('host', 'x');
  });
});
