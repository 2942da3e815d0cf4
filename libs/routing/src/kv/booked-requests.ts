/**
 * The life of the requests that a router has placed: booked, first token, output, and the one end that each of them has:
 * given back, forgotten by whoever booked it, or gone with its worker. Everyone who counts them is told of every step.
 */
import type { Clock } from '@dynamo-ts/base';
import type { PlacementCore, Selected } from '@dynamo-ts/kv';

import type { PlacementRequest, RequestOutcome } from '../placement-router.ts';
import type { LoadSharing, SessionBindings } from './collaborators.ts';
import type { DecisionLog } from './decisions/decision-log.ts';
import type { IndexGauges } from './health/index-gauges.ts';
import type { KvRouterMeter } from './kv-router-meter.ts';
import type { KvRouterSettings } from './kv-router-settings.ts';
import { LiveBookings } from './live-bookings.ts';
import type { WorkerRoster } from './fleet/worker-roster.ts';

/** Who counts a router's requests. */
export interface BookedRequestsOptions {
  readonly core: PlacementCore;
  readonly clock: Clock;
  readonly settings: Pick<KvRouterSettings, 'trackOutputBlocks'>;
  /** Workers that may be chosen. */
  readonly roster: Pick<WorkerRoster, 'get'>;
  readonly decisions: DecisionLog;
  readonly meter: KvRouterMeter | undefined;
  readonly gauges: IndexGauges | undefined;
  readonly affinity: SessionBindings | undefined;
  readonly sharing: LoadSharing | undefined;
  /** A rank may have room that had none. */
  readonly capacityChanged: () => void;
}

/** How often forgotten bookings and old entries are looked for. */
const EXPIRY_MS = 1000;

/** Requests under way. */
export class BookedRequests {
  readonly #options: BookedRequestsOptions;
  readonly #live: LiveBookings;
  #isClosed = false;

  constructor(options: BookedRequestsOptions) {
    this.#options = options;
    this.#live = new LiveBookings(options.clock);
  }

  /** Bookings that have not been given back. */
  get size(): number {
    return this.#live.size;
  }

  /** The core has booked a request; an earlier booking of its id has ended with that. */
  booked(request: PlacementRequest, selected: Selected): void {
    const { meter, sharing } = this.#options;
    const { bookingId, promptTokens, owner, blockHashes, expectedOutputTokens } = request;
    const { workerId, dpRank, decisionId, prefillTokens } = selected;
    const booking = { workerId, dpRank, promptTokens, decisionId, owner };
    if (this.#live.add(bookingId, booking)) {
      sharing?.freed(bookingId);
      meter?.released('freed');
    }
    meter?.started(promptTokens);
    sharing?.added({
      bookingId,
      instanceId: workerId,
      dpRank,
      blockHashes,
      islTokens: promptTokens,
      prefillTokens,
      expectedOutputTokens,
    });
  }

  /** The first token came. Later calls and unknown ids are ignored. */
  prefillDone(bookingId: string): void {
    const { core, clock, roster, meter, affinity, sharing, capacityChanged } = this.#options;
    const booking = this.#live.prefillDone(bookingId);
    if (booking === undefined || this.#isClosed) return;
    core.prefillDone(bookingId, clock.monotonicMs());
    meter?.prefillDone(booking.ageMs);
    // A session is not bound to a worker that is leaving.
    if (roster.get(booking.workerId) !== undefined) affinity?.confirmed(bookingId);
    sharing?.prefillDone(bookingId);
    capacityChanged();
  }

  /** Output has filled one more block. Unknown ids are ignored. */
  outputBlock(bookingId: string): void {
    const { core, clock, settings } = this.#options;
    if (!settings.trackOutputBlocks || this.#isClosed) return;
    core.outputBlock(bookingId, clock.monotonicMs());
  }

  /** The request ended, however it ended. Idempotent. */
  free(bookingId: string, outcome?: RequestOutcome): void {
    const { core, roster, decisions, meter, gauges, affinity, sharing } = this.#options;
    const booking = this.#live.take(bookingId);
    if (booking === undefined || this.#isClosed) return;
    core.free(bookingId, outcome);
    if (booking.decisionId !== '') decisions.ended(booking.decisionId);
    if (outcome !== undefined) {
      meter?.ended(outcome);
      // A worker that has left has no series any more.
      if (roster.get(booking.workerId) !== undefined)
        gauges?.ended(booking, { islTokens: booking.promptTokens, ...outcome });
    }
    affinity?.ended(bookingId, outcome);
    sharing?.freed(bookingId);
    meter?.released('freed');
    this.#options.capacityChanged();
  }

  /** Gives back what an owner that is gone has booked. */
  freeOwned(owner: object): void {
    for (const bookingId of this.#live.idsOf(owner)) this.free(bookingId);
  }

  /** The core has dropped bookings, of this router or of others. */
  forgotten(bookingIds: readonly string[], how: 'freed' | 'expired'): void {
    const { affinity, meter, sharing } = this.#options;
    for (const bookingId of bookingIds) {
      if (this.#live.take(bookingId) === undefined) continue;
      affinity?.ended(bookingId, undefined);
      meter?.released(how);
    }
    sharing?.forgotten(bookingIds);
  }

  /** Ends bookings that nobody gives back, until aborted. */
  async expire(signal: AbortSignal): Promise<void> {
    const { core, clock, capacityChanged } = this.#options;
    while (!signal.aborted) {
      const bookings = core.expire(clock.monotonicMs());
      if (bookings.length > 0) {
        this.forgotten(bookings, 'expired');
        capacityChanged();
      }
      await clock.sleep(EXPIRY_MS, { signal });
    }
  }

  /** Nothing is told to anybody any more. */
  close(): void {
    this.#isClosed = true;
  }
}
