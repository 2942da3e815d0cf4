import type { Clock, InstanceId } from '@dynamo-ts/base';

/** A request on a worker, as its router remembers it beside the core. */
export interface LiveBooking {
  readonly workerId: InstanceId;
  readonly dpRank: number;
  readonly promptTokens: number;
  /** Empty when the decision is not recorded. */
  readonly decisionId: string;
  readonly owner: object | undefined;
}

interface Entry extends LiveBooking {
  readonly bookedAtMs: number;
  isPrefilling: boolean;
}

/** Bookings of this router that have not been given back; when they go is the core's to say. */
export class LiveBookings {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Remembers a booking. @returns whether one of the same id was there before */
  add(bookingId: string, booking: LiveBooking): boolean {
    const isReplaced = this.#entries.has(bookingId);
    const bookedAtMs = this.#clock.monotonicMs();
    this.#entries.set(bookingId, { ...booking, bookedAtMs, isPrefilling: true });
    return isReplaced;
  }

  /** The first token has come. @returns whose it is and its age; undefined for a later call or an unknown id */
  prefillDone(
    bookingId: string,
  ): { readonly workerId: InstanceId; readonly ageMs: number } | undefined {
    const entry = this.#entries.get(bookingId);
    if (entry?.isPrefilling !== true) return undefined;
    entry.isPrefilling = false;
    const { workerId, bookedAtMs } = entry;
    return { workerId, ageMs: this.#clock.monotonicMs() - bookedAtMs };
  }

  /** Forgets a booking. @returns undefined when it is not known */
  take(bookingId: string): LiveBooking | undefined {
    const entry = this.#entries.get(bookingId);
    this.#entries.delete(bookingId);
    return entry;
  }

  /** Ids of what an owner has booked. */
  idsOf(owner: object): readonly string[] {
    const owned = [...this.#entries].filter(([, entry]) => entry.owner === owner);
    return owned.map(([bookingId]) => bookingId);
  }
}
