/**
 * Routers ask each other for all that they have booked, on an endpoint beside the one that they route for (see
 * `BookingsDesk`). Its instances are also how they know of each other. An answer stays open after its last booking, which an empty batch marks: when a
 * router dies, the others see its answer break, long before its lease ends.
 */
import { DynamoError, instanceIdHex, onAbort } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { ActiveSequenceBatch, formatEndpointPath } from '@dynamo-ts/protocol';
import type { ActiveSequenceEvent, EndpointPath } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { Client, DistributedRuntime, RawResponse } from '@dynamo-ts/runtime';

import { batchOf } from './shared-endpoint.ts';
import type { SharedEndpoint } from './shared-endpoint.ts';

/** Hashes per item of an answer. */
export const MOST_ITEM_BYTES: number = 512 * 1024;

/** No router has so much booked. */
const MOST_ANSWER_BYTES = 1024 * 1024 * 1024;

const TIMEOUT_MS = 5000;

/** Endpoint on which the routers of an endpoint answer each other. */
export function bookingsQueryPath(path: EndpointPath): EndpointPath {
  return { ...path, endpoint: `${path.endpoint}_active_sequences_query` };
}

/** Client of the other routers. */
export async function connectBookingsQuery(
  runtime: DistributedRuntime,
  path: EndpointPath,
): Promise<Client> {
  const endpoint = runtime.endpoint(formatEndpointPath(bookingsQueryPath(path)));
  return endpoint.client({ faultDetection: false });
}

/** A question to another router. */
export interface BookingsQuestion {
  readonly client: Client;
  readonly shared: SharedEndpoint;
  readonly routerId: InstanceId;
  readonly signal: AbortSignal;
}

/** All that another router has booked. */
export interface BookingsReply {
  readonly events: readonly ActiveSequenceEvent[];
  /** Resolves when the other router is gone, or {@link release} was called. */
  readonly ended: Promise<void>;
  /** The answer is not needed any more. Idempotent. */
  readonly release: () => void;
}

/**
 * Asks another router.
 *
 * @throws `transport.*` when it does not answer, `transport.protocol` when it counts in other blocks
 */
export async function askForBookings(question: BookingsQuestion): Promise<BookingsReply> {
  const { client, shared, routerId, signal } = question;
  const context = new Context();
  const offSignal = onAbort(signal, () => {
    context.kill('shutdown');
  });
  const timer = setTimeout(() => {
    context.kill('deadline');
  }, TIMEOUT_MS);
  try {
    const payload = ActiveSequenceBatch.encode(batchOf(shared, [])).finish();
    const response = await client.openRaw(routerId, payload, context);
    const events = await readBookings(response, question);
    const ended = drain(response).finally(offSignal);
    return { events, ended, release: () => context.kill('superseded') };
  } catch (error) {
    context.kill('superseded');
    offSignal();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function readBookings(
  response: RawResponse,
  { shared, routerId }: BookingsQuestion,
): Promise<readonly ActiveSequenceEvent[]> {
  const events: ActiveSequenceEvent[] = [];
  let sizeBytes = 0;
  for (;;) {
    const items = await response.nextBatch();
    if (items === undefined)
      throw new DynamoError('transport.disconnected', 'a router ended its answer too early');
    for (const item of items) {
      sizeBytes += item.byteLength;
      const batch = ActiveSequenceBatch.decode(item);
      if (sizeBytes > MOST_ANSWER_BYTES || !isCompatible(batch, shared)) throw unusable(routerId);
      if (batch.events.length === 0) return events;
      for (const event of batch.events) events.push(event);
    }
  }
}

/** Waits for the end of an answer of which nothing more comes, however it ends. */
async function drain(response: RawResponse): Promise<void> {
  try {
    while ((await response.nextBatch()) !== undefined);
  } catch {
    // The router is gone, or this one has let go of the answer.
  }
}

/** Whether a message counts in the blocks of this router. */
export function isCompatible(
  { blockSize, stride }: Pick<ActiveSequenceBatch, 'blockSize' | 'stride'>,
  shared: SharedEndpoint,
): boolean {
  return blockSize === shared.blockSize && stride === shared.stride;
}

function unusable(routerId: InstanceId): DynamoError {
  return new DynamoError(
    'transport.protocol',
    `router ${instanceIdHex(routerId)} answered with bookings of another block size or stride, or far too many`,
  );
}
