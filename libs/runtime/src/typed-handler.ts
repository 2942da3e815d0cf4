/** Runs typed handlers (async generators over decoded requests) on the request plane's raw bytes. */
import { onAbort } from '@dynamo-ts/base';

import { toEnvelope } from './annotated.ts';
import type { Context } from './context.ts';
import { decodePayload, encodePayload } from './payload-codec.ts';
import type { IncomingRequest, RawHandler, ResponseSink } from './request-plane/request-plane.ts';

/**
 * Answers one request by yielding items. An item is data, or an envelope made by `annotated(…)`. The next item is asked
 * for only when the caller can take it.
 */
export type EndpointHandler<Req = unknown, Res = unknown> = (
  request: Req,
  context: Context,
) => AsyncIterable<Res>;

/** A raw handler that decodes the request, runs the generator and encodes its items. */
export function typedHandler<Req, Res>(handler: EndpointHandler<Req, Res>): RawHandler {
  return async (incoming, sink) => {
    // The caller's declared type; `dynamoEndpoint` checks it where it matters.
    const request = decodePayload(incoming.payload) as Req;
    await pump(handler(request, incoming.context), incoming, sink);
  };
}

async function pump<Res>(
  items: AsyncIterable<Res>,
  { context }: IncomingRequest,
  sink: ResponseSink,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  // A generator that waits for something else learns of the kill through its context; this one ends it between items.
  const off = onAbort(context.killed, () => {
    void iterator.return?.().catch(() => undefined);
  });
  try {
    for (;;) {
      const next = await iterator.next();
      if (next.done === true) break;
      if (!sink.write(encodePayload(toEnvelope(next.value)))) await sink.drained();
    }
    sink.end();
  } finally {
    off();
  }
}
