/** Runs handlers that are async generators over decoded requests on the request plane's raw bytes. */
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

/** How requests and answers of a handler look on the wire. */
export interface HandlerCodec<Req, Res> {
  decode(payload: Uint8Array): Req;
  encode(item: Res): Uint8Array;
}

/** A raw handler that decodes the request, runs the generator and encodes its items. */
export function codecHandler<Req, Res>(
  handler: EndpointHandler<Req, Res>,
  codec: HandlerCodec<Req, Res>,
): RawHandler {
  return async (incoming, sink) => {
    const items = handler(codec.decode(incoming.payload), incoming.context);
    await pump(items, { incoming, sink, encode: (item) => codec.encode(item) });
  };
}

/** A handler whose requests and items are MessagePack. */
export function typedHandler<Req, Res>(handler: EndpointHandler<Req, Res>): RawHandler {
  return codecHandler(handler, {
    // The caller's declared type; `dynamoEndpoint` checks it where it matters.
    decode: (payload) => decodePayload(payload) as Req,
    encode: (item) => encodePayload(toEnvelope(item)),
  });
}

interface PumpOptions<Res> {
  readonly incoming: IncomingRequest;
  readonly sink: ResponseSink;
  readonly encode: (item: Res) => Uint8Array;
}

async function pump<Res>(
  items: AsyncIterable<Res>,
  { incoming: { context }, sink, encode }: PumpOptions<Res>,
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
      if (!sink.write(encode(next.value))) await sink.drained();
    }
    sink.end();
  } finally {
    off();
  }
}
