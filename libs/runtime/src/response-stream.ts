import { DynamoError } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';

import { envelopeError } from './annotated.ts';
import type { Annotated } from './annotated.ts';
import { decodePayload } from './payload-codec.ts';
import type { RawResponse } from './request-plane/request-plane.ts';

/** What a {@link ResponseStream} reads. */
export interface ResponseStreamOptions<T> {
  readonly instanceId: InstanceId;
  readonly response: RawResponse;
  /** Items that were read ahead. */
  readonly first: readonly Uint8Array[];
  /** What to yield for an item; undefined skips it. */
  readonly read: (item: Uint8Array) => T | undefined;
}

/**
 * The answer of a typed endpoint, read once. Leaving the loop early kills the request on the server.
 *
 * @throws while iterating: `transport.disconnected` when the instance is lost, the handler's error when it failed
 */
export class ResponseStream<T> implements AsyncIterable<T> {
  /** The instance that answers. */
  readonly instanceId: InstanceId;
  readonly #options: ResponseStreamOptions<T>;
  #read = false;

  constructor(options: ResponseStreamOptions<T>) {
    this.instanceId = options.instanceId;
    this.#options = options;
  }

  /** Drops the rest and kills the request on the server. Idempotent. */
  cancel(): void {
    this.#options.response.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    if (this.#read) throw new DynamoError('runtime.closed', 'a response stream can be read once');
    this.#read = true;
    const { first, response, read } = this.#options;
    try {
      let batch: readonly Uint8Array[] | undefined = first;
      while (batch !== undefined) {
        for (const item of batch) {
          const value = read(item);
          if (value !== undefined) yield value;
        }
        batch = await response.nextBatch();
      }
    } finally {
      response.cancel();
    }
  }
}

/** Reads an item as its data; envelopes without data are skipped, error envelopes throw. */
export function readData(item: Uint8Array): unknown {
  const envelope = readEnvelope(item);
  const error = envelopeError(envelope);
  if (error !== undefined) throw error;
  return envelope.data;
}

/** Reads an item as its envelope. */
export function readEnvelope(item: Uint8Array): Annotated<unknown> {
  const value = decodePayload(item);
  if (typeof value !== 'object' || value === null)
    throw new DynamoError('transport.protocol', 'a response item is not an envelope');
  return value;
}
