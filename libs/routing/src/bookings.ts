/**
 * What runs where: one booking per request, and the number of bookings per instance.
 *
 * A booking is given back once, by whoever notices first that its request ended, or with all others of its owner when
 * that is gone. One that nobody gives back expires, so that counts cannot grow for ever.
 */
import { systemClock } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';

/** Settings of {@link Bookings}. */
export interface BookingsOptions {
  /** Age in milliseconds at which a forgotten booking goes; longer than the longest request. @default 1 hour */
  readonly expiryMs?: number | undefined;
  /** Told how long each booking lived in milliseconds, when its first token comes. */
  readonly onPrefillDone?: (ageMs: number) => void;
  /** Told about every booking that goes. */
  readonly onReleased?: (how: 'freed' | 'expired') => void;
  readonly clock?: Clock | undefined;
}

interface Booking {
  readonly instanceId: InstanceId;
  readonly bookedAtMs: number;
  readonly owner: object | undefined;
  prefilling: boolean;
}

const ONE_HOUR_MS = 3_600_000;

/** In-flight requests of one endpoint as its router knows them. */
export class Bookings {
  readonly #options: BookingsOptions;
  readonly #expiryMs: number;
  readonly #clock: Clock;
  /** In the order in which they were made, so that the oldest is first. */
  readonly #bookings = new Map<string, Booking>();
  readonly #counts = new Map<InstanceId, number>();

  constructor(options: BookingsOptions = {}) {
    this.#options = options;
    this.#expiryMs = options.expiryMs ?? ONE_HOUR_MS;
    this.#clock = options.clock ?? systemClock;
  }

  /** Bookings that have not been given back. */
  get size(): number {
    return this.#bookings.size;
  }

  /** Requests booked on an instance. */
  readonly inFlight = (id: InstanceId): number => this.#counts.get(id) ?? 0;

  /** Books a request; an earlier booking of the same id is given back first. */
  book(bookingId: string, instanceId: InstanceId, owner?: object): void {
    this.free(bookingId);
    const bookedAtMs = this.#clock.monotonicMs();
    this.#bookings.set(bookingId, { instanceId, bookedAtMs, owner, prefilling: true });
    this.#counts.set(instanceId, this.inFlight(instanceId) + 1);
  }

  /** The first token has come. Ignores later calls and unknown ids. */
  prefillDone(bookingId: string): void {
    const booking = this.#bookings.get(bookingId);
    if (booking?.prefilling !== true) return;
    booking.prefilling = false;
    this.#options.onPrefillDone?.(this.#clock.monotonicMs() - booking.bookedAtMs);
  }

  /** Gives a booking back. Idempotent. @returns whether there was one */
  free(bookingId: string): boolean {
    return this.#release(bookingId, 'freed');
  }

  /** Gives back what an owner that is gone has booked. */
  freeOwned(owner: object): void {
    for (const [bookingId, booking] of this.#bookings)
      if (booking.owner === owner) this.#release(bookingId, 'freed');
  }

  /** Drops bookings that are older than the limit. */
  expire(): void {
    const oldest = this.#clock.monotonicMs() - this.#expiryMs;
    for (const [bookingId, { bookedAtMs }] of this.#bookings) {
      if (bookedAtMs > oldest) return;
      this.#release(bookingId, 'expired');
    }
  }

  #release(bookingId: string, how: 'freed' | 'expired'): boolean {
    const booking = this.#bookings.get(bookingId);
    if (booking === undefined) return false;
    this.#bookings.delete(bookingId);
    const left = this.inFlight(booking.instanceId) - 1;
    if (left > 0) this.#counts.set(booking.instanceId, left);
    else this.#counts.delete(booking.instanceId);
    this.#options.onReleased?.(how);
    return true;
  }
}
