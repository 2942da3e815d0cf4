/** Server-sent event frames (RF 3.8). */
import type { ErrorBody } from './error-body.ts';

/** Last frame of a stream that ended well. */
export const SSE_DONE = 'data: [DONE]\n\n';

/** A comment that keeps proxies and clients from giving up on a silent stream. */
export const SSE_KEEP_ALIVE = ': keep-alive\n\n';

/** Content type of a stream. */
export const SSE_CONTENT_TYPE = 'text/event-stream';

/** An error after the 200: the stream ends after it, without `[DONE]`. */
export function sseError(body: ErrorBody): string {
  return `data: ${JSON.stringify(body)}\n\n`;
}

/** An annotation: an event of its own name whose value is in a comment line, so that other clients skip it. */
export function sseAnnotation(name: string, value: unknown): string {
  return `event: ${name}\n: ${JSON.stringify(value)}\n\n`;
}
