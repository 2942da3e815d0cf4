/**
 * How long bookings of other processes stay: every booking is under a lease, which its owner keeps alive. A caller that
 * is gone, however it went and whatever carried its calls, costs capacity for one lease and not longer.
 *
 * Bookings of one owner share a lease. A caller that names no owner has one lease per booking, renewed by every call
 * about the request. When a connection ends, its owner has a grace time to show up over another one.
 */
import { onAbort, systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';

/** Settings of {@link BookingLeases}. */
export interface BookingLeasesOptions {
  /** Length of a lease in milliseconds for callers that ask for none. */
  readonly leaseMs: number;
  /** What is left of a lease when its caller's connection ends. @default 7 seconds */
  readonly graceMs?: number | undefined;
  /** Time between two looks for leases that have ended. @default 1 second */
  readonly sweepMs?: number | undefined;
  readonly onExpired: (booking: LeasedBooking) => void;
  readonly clock?: Clock | undefined;
}

/** A booking by its endpoint and request. */
export interface LeasedBooking {
  readonly endpoint: string;
  readonly requestId: string;
}

/** On whose behalf a booking is held. */
export interface LeaseHolder {
  /** Empty: the booking lives as long as the caller's connection, or has a lease of its own when there is none. */
  readonly ownerId: string;
  /** 0 = the default. */
  readonly leaseMs: number;
  /** Aborted when the caller's connection ends. */
  readonly caller?: AbortSignal | undefined;
}

interface Lease {
  readonly key: string;
  readonly lengthMs: number;
  readonly bookings: Map<string, LeasedBooking>;
  endsAtMs: number;
}

/** A connection and the leases that were taken over it. */
interface Caller {
  readonly ownerId: string;
  readonly leases: Set<string>;
}

/** A little longer than the time between two signs of life of a frontend. */
const DEFAULT_GRACE_MS = 7000;

/** So many ended leases of a connection cost nothing. */
const FEW = 64;

/** The longest lease that a caller can ask for. */
const LONGEST_LEASE_MS = 24 * 3_600_000;

/** Leases of all bookings of a router service. */
export class BookingLeases {
  readonly #options: BookingLeasesOptions;
  readonly #clock: Clock;
  readonly #leases = new Map<string, Lease>();
  /** By booking. */
  readonly #leaseOf = new Map<string, Lease>();
  readonly #callers = new WeakMap<AbortSignal, Caller>();
  #lastCaller = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BookingLeasesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Bookings under a lease. */
  get size(): number {
    return this.#leaseOf.size;
  }

  /** Whether a booking is held. */
  has(booking: LeasedBooking): boolean {
    return this.#leaseOf.has(bookingKey(booking));
  }

  /** Puts a booking under its holder's lease; one that is held already moves there. */
  hold(booking: LeasedBooking, { ownerId, leaseMs, caller }: LeaseHolder): void {
    this.release(booking);
    const key = bookingKey(booking);
    const known = caller === undefined ? undefined : this.#caller(caller);
    const lease =
      ownerId === '' && known !== undefined
        ? this.#lease(known.ownerId, LONGEST_LEASE_MS)
        : this.#lease(ownerId === '' ? key : ownerKey(ownerId), leaseMs);
    lease.bookings.set(key, booking);
    this.#leaseOf.set(key, lease);
    if (known !== undefined) this.#remember(known, lease);
    this.#timer ??= setInterval(this.#sweep, this.#options.sweepMs ?? 1000).unref();
  }

  /** Renews the lease of one booking. @returns whether it is held */
  touch(booking: LeasedBooking): boolean {
    const lease = this.#leaseOf.get(bookingKey(booking));
    if (lease !== undefined) this.#renew(lease);
    return lease !== undefined;
  }

  /** Renews an owner's lease. @returns the bookings under it */
  renewOwner(ownerId: string): number {
    const lease = this.#leases.get(ownerKey(ownerId));
    if (lease === undefined) return 0;
    this.#renew(lease);
    return lease.bookings.size;
  }

  /** The booking was given back. Idempotent. */
  release(booking: LeasedBooking): void {
    const key = bookingKey(booking);
    const lease = this.#leaseOf.get(key);
    if (lease === undefined) return;
    this.#leaseOf.delete(key);
    lease.bookings.delete(key);
    if (lease.bookings.size === 0) this.#leases.delete(lease.key);
    if (this.#leases.size === 0) this.#stopSweeping();
  }

  /** Ends all leases without a word. Idempotent. */
  close(): void {
    this.#stopSweeping();
    this.#leases.clear();
    this.#leaseOf.clear();
  }

  #lease(key: string, leaseMs: number): Lease {
    const known = this.#leases.get(key);
    if (known !== undefined) {
      this.#renew(known);
      return known;
    }
    const lengthMs = Math.min(leaseMs > 0 ? leaseMs : this.#options.leaseMs, LONGEST_LEASE_MS);
    const lease = { key, lengthMs, bookings: new Map<string, LeasedBooking>(), endsAtMs: 0 };
    this.#renew(lease);
    this.#leases.set(key, lease);
    return lease;
  }

  #renew(lease: Lease): void {
    lease.endsAtMs = this.#clock.monotonicMs() + lease.lengthMs;
  }

  #caller(signal: AbortSignal): Caller {
    const known = this.#callers.get(signal);
    if (known !== undefined) return known;
    this.#lastCaller += 1;
    const caller = { ownerId: `connection ${this.#lastCaller}`, leases: new Set<string>() };
    this.#callers.set(signal, caller);
    onAbort(signal, () => {
      const latestMs = this.#clock.monotonicMs() + (this.#options.graceMs ?? DEFAULT_GRACE_MS);
      for (const key of caller.leases) {
        const lease = this.#leases.get(key);
        if (lease !== undefined) lease.endsAtMs = Math.min(lease.endsAtMs, latestMs);
      }
    });
    return caller;
  }

  /** A connection may outlive many owners. */
  #remember({ leases }: Caller, { key }: Lease): void {
    leases.add(key);
    if (leases.size <= 2 * this.#leases.size + FEW) return;
    for (const each of leases) if (!this.#leases.has(each)) leases.delete(each);
  }

  readonly #sweep = (): void => {
    const nowMs = this.#clock.monotonicMs();
    for (const lease of [...this.#leases.values()]) {
      if (lease.endsAtMs > nowMs) continue;
      for (const booking of [...lease.bookings.values()]) {
        this.release(booking);
        this.#options.onExpired(booking);
      }
    }
  };

  #stopSweeping(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function bookingKey({ endpoint, requestId }: LeasedBooking): string {
  return `booking ${endpoint} ${requestId}`;
}

function ownerKey(ownerId: string): string {
  return `owner ${ownerId}`;
}
