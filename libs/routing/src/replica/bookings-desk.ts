/**
 * Where the routers of one process answer those of others. All routers of an endpoint, one for each block size, answer on
 * one endpoint of the request plane: a question names the block size that it is about.
 *
 * A question about a size that no router here has is answered as by a router without bookings, and ends when one comes, so
 * that the asker asks again.
 */
import { DynamoError, hasCode, onAbort, raceAbort, systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import { ActiveSequenceBatch, formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { DistributedRuntime, RawHandler, ServedEndpoint } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import { MOST_ITEM_BYTES, bookingsQueryPath } from './bookings-query.ts';
import type { OwnBookings } from './own-bookings.ts';
import { batchOf } from './shared-endpoint.ts';
import type { SharedEndpoint } from './shared-endpoint.ts';

/** What a router answers from. */
export interface BookingsAnswer {
  readonly shared: SharedEndpoint;
  readonly own: OwnBookings;
  /** A router asks: from here on it wants events. */
  readonly onAsked: (router: ActiveSequenceBatch) => void;
}

/** Settings of a {@link BookingsDesk}. */
export interface BookingsDeskOptions {
  readonly runtime: DistributedRuntime;
  readonly clock?: Clock | undefined;
  readonly logger: Logger;
}

/** The routers of one endpoint in this process. */
interface Seat {
  readonly path: EndpointPath;
  /** By block size. */
  readonly routers: Map<number, BookingsAnswer>;
  /** Answers that are open, each as the function that ends it, by the block size that they are about. */
  readonly open: Map<() => void, number>;
  /** Aborted when the last router has left. */
  readonly left: AbortController;
  serving: Promise<ServedEndpoint> | undefined;
}

/** How often it is tried again while another part of the process serves the endpoint. */
const RETRY_MS = 1000;

/** Answers for all routers of a process. */
export class BookingsDesk {
  readonly #options: BookingsDeskOptions;
  readonly #clock: Clock;
  readonly #seats = new Map<string, Seat>();

  constructor(options: BookingsDeskOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Whether a router here has blocks of a size. */
  counts(endpoint: string, blockSize: number): boolean {
    return this.#seats.get(endpoint)?.routers.has(blockSize) ?? false;
  }

  /**
   * Answers for a router from now on; resolves when others can find it. @returns what ends it, idempotent
   *
   * @throws the signal's reason; the router has not joined then
   */
  async join(
    path: EndpointPath,
    router: BookingsAnswer,
    signal: AbortSignal,
  ): Promise<() => Promise<void>> {
    const { endpoint, blockSize } = router.shared;
    // One that is about to close may still be there.
    while (this.counts(endpoint, blockSize)) await this.#clock.sleep(RETRY_MS, { signal });
    const seat = this.#seats.get(endpoint) ?? this.#newSeat(endpoint, path);
    seat.routers.set(blockSize, router);
    endAnswers(seat, blockSize);
    const leave = (): Promise<void> => this.#leave(seat, router);
    try {
      seat.serving ??= this.#serve(seat);
      await raceAbort(seat.serving, signal);
      return leave;
    } catch (error) {
      void leave();
      throw error;
    }
  }

  #newSeat(endpoint: string, path: EndpointPath): Seat {
    const seat: Seat = {
      path,
      routers: new Map(),
      open: new Map(),
      left: new AbortController(),
      serving: undefined,
    };
    this.#seats.set(endpoint, seat);
    return seat;
  }

  async #leave(seat: Seat, { shared }: BookingsAnswer): Promise<void> {
    const { endpoint, blockSize } = shared;
    if (!seat.routers.delete(blockSize)) return;
    endAnswers(seat, blockSize);
    if (seat.routers.size > 0) return;
    if (this.#seats.get(endpoint) === seat) this.#seats.delete(endpoint);
    seat.left.abort();
    const served = await seat.serving?.catch(() => undefined);
    await served?.close();
  }

  /** Another part of this process may route for the endpoint too. */
  async #serve(seat: Seat): Promise<ServedEndpoint> {
    const { runtime, logger } = this.#options;
    const endpoint = runtime.endpoint(formatEndpointPath(bookingsQueryPath(seat.path)));
    const answer = this.#answerer(seat);
    for (let isFirst = true; ; isFirst = false) {
      try {
        // A router that leaves does not wait for those that listen.
        return await endpoint.serveRaw(answer, { gracefulShutdown: false });
      } catch (error) {
        if (!hasCode(error, 'request.conflict')) throw error;
        if (isFirst)
          logger.info(
            'bookings are shared as they change; at the start others ask another router of this endpoint in this process',
            { error },
          );
        await this.#clock.sleep(RETRY_MS, { signal: seat.left.signal });
      }
    }
  }

  #answerer(seat: Seat): RawHandler {
    const { instanceId } = this.#options.runtime;
    return async ({ payload, context }, sink) => {
      const question = tryDecode(payload);
      const { blockSize } = question;
      const end = (): void => {
        if (seat.open.delete(end)) sink.end();
      };
      seat.open.set(end, blockSize);
      onAbort(context.stopped, end);
      const router = seat.routers.get(blockSize);
      router?.onAsked(question);
      const shared = router?.shared ?? { ...question, routerId: instanceId };
      for (const events of router?.own.messages(MOST_ITEM_BYTES) ?? []) {
        if (!seat.open.has(end)) return;
        const item = ActiveSequenceBatch.encode(batchOf(shared, events)).finish();
        if (!sink.write(item)) await sink.drained();
      }
      if (seat.open.has(end)) sink.write(ActiveSequenceBatch.encode(batchOf(shared, [])).finish());
    };
  }
}

function endAnswers({ open }: Seat, blockSize: number): void {
  for (const [end, about] of open) if (about === blockSize) end();
}

function tryDecode(payload: Uint8Array): ActiveSequenceBatch {
  try {
    return ActiveSequenceBatch.decode(payload);
  } catch (cause) {
    throw new DynamoError('request.invalid', 'the question for bookings cannot be read', { cause });
  }
}
