/** The other routers of an endpoint: who they are, which of their events came last, and what they have booked. */
import type { Clock, InstanceId } from '@dynamo-ts/base';
import type { EventEnvelope } from '@dynamo-ts/protocol';

import type { BookingsReply } from './bookings-query.ts';
import { PeerBookings } from './peer-bookings.ts';
import type { PeerBookingsOptions } from './peer-bookings.ts';

/** A router that asked is told of bookings for so long although discovery does not show it yet. */
const ASKER_MS = 60_000;

/** A router that discovery does not show and that says nothing for so long is gone. */
const UNKNOWN_SILENCE_MS = 60_000;

/** Another router. */
export class Peer {
  readonly routerId: InstanceId;
  readonly bookings: PeerBookings;
  /** Discovery shows it. */
  isKnown = false;
  isAsking = false;
  /** What is known of its bookings is not all. */
  isAnswerDue = false;
  /** Monotonic. */
  heardAtMs = 0;
  #reply: BookingsReply | undefined;
  #epoch: bigint | undefined;
  #sequence = 0n;

  constructor(options: PeerBookingsOptions) {
    this.routerId = options.routerId;
    this.bookings = new PeerBookings(options);
  }

  /** Takes an answer, which is released with the next one. @returns whether the router was there until then */
  async follow(reply: BookingsReply): Promise<boolean> {
    this.#reply?.release();
    this.#reply = reply;
    this.bookings.answered(reply.events);
    await reply.ended;
    return this.#reply !== reply;
  }

  /** The router is gone, and its requests with it. */
  leave(): void {
    this.bookings.freeAll();
    this.#reply?.release();
    this.#reply = undefined;
  }

  /** Whether an event is the next one after the last. */
  follows({ epoch, sequence }: EventEnvelope): boolean {
    if (epoch !== this.#epoch) this.#sequence = 0n;
    const isNext = sequence === this.#sequence + 1n;
    this.#epoch = epoch;
    this.#sequence = sequence;
    return isNext;
  }
}

/** All other routers. */
export class Peers {
  readonly #options: Omit<PeerBookingsOptions, 'routerId'>;
  readonly #clock: Clock;
  readonly #peers = new Map<InstanceId, Peer>();
  /** Until when routers that asked want events. Monotonic. */
  readonly #askers = new Map<InstanceId, number>();

  constructor(options: Omit<PeerBookingsOptions, 'routerId'>) {
    this.#options = options;
    this.#clock = options.clock;
  }

  get size(): number {
    return this.#peers.size;
  }

  /** Bookings of all of them. */
  get bookings(): number {
    let sum = 0;
    for (const { bookings } of this.#peers.values()) sum += bookings.size;
    return sum;
  }

  /** Whether anybody wants to hear of bookings. */
  get areListening(): boolean {
    return this.#peers.size > 0 || this.#askers.size > 0;
  }

  all(): readonly Peer[] {
    return [...this.#peers.values()];
  }

  get(routerId: InstanceId): Peer | undefined {
    return this.#peers.get(routerId);
  }

  /** Discovery shows a router. */
  joined(routerId: InstanceId): Peer {
    const peer = this.#getOrAdd(routerId);
    peer.isKnown = true;
    this.#askers.delete(routerId);
    return peer;
  }

  /** A router sent an event. */
  heard(routerId: InstanceId): Peer {
    const peer = this.#getOrAdd(routerId);
    peer.heardAtMs = this.#clock.monotonicMs();
    return peer;
  }

  /** A router asked for bookings. */
  asked(routerId: InstanceId): void {
    if (this.#peers.get(routerId)?.isKnown === true) return;
    this.#askers.set(routerId, this.#clock.monotonicMs() + ASKER_MS);
  }

  /** Discovery does not show a router any more. */
  left(routerId: InstanceId): void {
    this.#askers.delete(routerId);
    this.#peers.get(routerId)?.leave();
    this.#peers.delete(routerId);
  }

  /** Drops routers that discovery never showed and that say nothing any more. */
  dropSilent(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [routerId, untilMs] of this.#askers)
      if (untilMs < nowMs) this.#askers.delete(routerId);
    for (const { routerId, isKnown, heardAtMs } of this.all())
      if (!isKnown && heardAtMs + UNKNOWN_SILENCE_MS < nowMs) this.left(routerId);
  }

  /** The core has dropped a booking by itself. */
  forget(coreId: string): void {
    for (const { bookings } of this.#peers.values()) bookings.forget(coreId);
  }

  #getOrAdd(routerId: InstanceId): Peer {
    let peer = this.#peers.get(routerId);
    if (peer === undefined) {
      peer = new Peer({ ...this.#options, routerId });
      this.#peers.set(routerId, peer);
    }
    return peer;
  }
}
