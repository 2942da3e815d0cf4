/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): the ids that join what several services did for one request.
 * The reader is strict: a header that is not exactly right is ignored, never repaired, so that no wrong trace is joined.
 */
import { randomFillSync } from 'node:crypto';

/** Position of a span in a distributed trace. */
export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string;
  /** Whether the caller records this trace. */
  readonly sampled: boolean;
  /** Vendor data that is passed on as it came. */
  readonly traceState?: string;
}

const TRACEPARENT = 'traceparent';
const TRACESTATE = 'tracestate';
const FORMAT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Longest tracestate that is passed on (the standard asks for at least 512). */
const MAX_TRACESTATE_LENGTH = 512;

/** Header names and values; names in lower case. */
export type TraceHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Reads the trace context of a request's headers. @returns undefined when there is none or it is malformed */
export function extractTraceContext(headers: TraceHeaders): TraceContext | undefined {
  const header = headers[TRACEPARENT];
  if (typeof header !== 'string') return undefined;
  const match = FORMAT.exec(header.trim());
  if (match === null) return undefined;
  const [, version, traceId = '', spanId = '', flags = '', rest] = match;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  const traceState = traceStateOf(headers[TRACESTATE]);
  return {
    traceId,
    spanId,
    sampled: (Number.parseInt(flags, 16) & 1) === 1,
    ...(traceState === undefined ? {} : { traceState }),
  };
}

/** Adds the trace context to headers and returns them. */
export function injectTraceContext(
  context: TraceContext,
  headers: Record<string, string> = {},
): Record<string, string> {
  headers[TRACEPARENT] = `00-${context.traceId}-${context.spanId}-${context.sampled ? '01' : '00'}`;
  if (context.traceState !== undefined) headers[TRACESTATE] = context.traceState;
  return headers;
}

/** A new trace id. */
export function createTraceId(): string {
  return randomHex(16);
}

/** A new span id. */
export function createSpanId(): string {
  return randomHex(8);
}

function traceStateOf(header: string | readonly string[] | undefined): string | undefined {
  const text = (typeof header === 'string' ? header : (header ?? []).join(',')).trim();
  if (text === '' || text.length > MAX_TRACESTATE_LENGTH) return undefined;
  const members = text.split(',').map((member) => member.trim());
  const valid = members.every((member) => member === '' || /^[a-z0-9][^=,]*=[^,=]+$/.test(member));
  return valid && members.length <= 32 ? text : undefined;
}

/** Random bytes are drawn in bulk: one system call gives ids for hundreds of spans. */
const pool = Buffer.alloc(4096);
let used = pool.length;

function randomHex(byteCount: number): string {
  if (used + byteCount > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const hex = pool.toString('hex', used, used + byteCount);
  used += byteCount;
  return /^0+$/.test(hex) ? randomHex(byteCount) : hex;
}
