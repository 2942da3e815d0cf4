import type { ActiveSequenceEvent, SequenceAdded } from '@dynamo-ts/protocol';

interface OwnBooking {
  readonly added: SequenceAdded;
  isPrefilled: boolean;
}

/** What this router has booked and not given back: the answer to a router that asks. */
export class OwnBookings {
  readonly #bookings = new Map<string, OwnBooking>();

  get size(): number {
    return this.#bookings.size;
  }

  add(bookingId: string, added: SequenceAdded): void {
    this.#bookings.set(bookingId, { added, isPrefilled: false });
  }

  /** The first token came. @returns whether that is news */
  prefillDone(bookingId: string): boolean {
    const booking = this.#bookings.get(bookingId);
    if (booking === undefined || booking.isPrefilled) return false;
    booking.isPrefilled = true;
    return true;
  }

  /** A booking was given back. @returns whether it was there */
  remove(bookingId: string): boolean {
    return this.#bookings.delete(bookingId);
  }

  /** All of them as events, in messages of at most so many bytes of hashes. */
  *messages(mostBytes: number): Iterable<readonly ActiveSequenceEvent[]> {
    let events: ActiveSequenceEvent[] = [];
    let sizeBytes = 0;
    for (const [requestId, { added, isPrefilled }] of [...this.#bookings]) {
      if (sizeBytes > 0 && sizeBytes + added.blockHashesLe.byteLength > mostBytes) {
        yield events;
        [events, sizeBytes] = [[], 0];
      }
      sizeBytes += added.blockHashesLe.byteLength + 64;
      events.push({ requestId, data: { $case: 'added', value: added } });
      if (isPrefilled) events.push({ requestId, data: { $case: 'prefillCompleted', value: {} } });
    }
    if (events.length > 0) yield events;
  }
}
