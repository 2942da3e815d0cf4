/**
 * What one other router has booked, as this one counts it.
 *
 * Events come in order but some may be lost, and an answer to a question may be older than events that came before it.
 * So while a question is open it is remembered what ended meanwhile, and what began meanwhile is not in its answer.
 */
import { asInstanceId, instanceIdHex } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import { hashesFromBytes } from '@dynamo-ts/protocol';
import type { ActiveSequenceEvent, SequenceAdded } from '@dynamo-ts/protocol';

/** Where bookings of other routers count; a `PlacementCore` is one. */
export interface RemoteLoadCore {
  /** @returns false when the rank is not known, or the id is booked already */
  addRemote(booking: {
    readonly id: string;
    readonly workerId: InstanceId;
    readonly dpRank: number;
    readonly blockHashes: BigUint64Array;
    readonly promptTokens: number;
    readonly prefillTokens: number;
    readonly nowMs: number;
    readonly predict: boolean;
  }): boolean;
  prefillDone(id: string, nowMs: number): boolean;
  free(id: string): unknown;
}

/** Settings of {@link PeerBookings}. */
export interface PeerBookingsOptions {
  readonly routerId: InstanceId;
  readonly core: RemoteLoadCore;
  /** Whether prompts of the other router's requests count as cached where they went. */
  readonly predict: boolean;
  readonly clock: Clock;
}

/** A booking that waits for its worker to become known here. */
interface Unplaced {
  readonly added: SequenceAdded;
  isPrefilled: boolean;
}

/** A question whose answer is on its way. */
interface OpenQuestion {
  /** What was known when it was asked. */
  readonly known: ReadonlySet<string>;
  /** What ended since. */
  readonly freed: Set<string>;
  readonly prefilled: Set<string>;
}

/** A router that lost its mind must not take this one's memory: no router has so many running requests. */
const MOST_BOOKINGS = 262_144;

/** Bookings of one router. */
export class PeerBookings {
  readonly #options: PeerBookingsOptions;
  readonly #prefix: string;
  /** The rank of each booking that counts. */
  readonly #placed = new Map<string, string>();
  readonly #unplaced = new Map<string, Unplaced>();
  #question: OpenQuestion | undefined;

  constructor(options: PeerBookingsOptions) {
    this.#options = options;
    this.#prefix = `${instanceIdHex(options.routerId)}/`;
  }

  /** Bookings that count here. */
  get size(): number {
    return this.#placed.size;
  }

  apply({ requestId, data }: ActiveSequenceEvent): void {
    switch (data?.$case) {
      case 'added':
        this.#add(requestId, data.value, false);
        break;
      case 'prefillCompleted':
        this.#question?.prefilled.add(requestId);
        this.#prefillDone(requestId);
        break;
      case 'freed':
        this.#question?.freed.add(requestId);
        this.#free(requestId);
        break;
      case undefined:
        break;
    }
  }

  /** From now on until {@link answered} or {@link notAnswered} it is remembered what happens. */
  asking(): void {
    const known = new Set([...this.#placed.keys(), ...this.#unplaced.keys()]);
    this.#question = { known, freed: new Set(), prefilled: new Set() };
  }

  notAnswered(): void {
    this.#question = undefined;
  }

  /** Takes all bookings that the router had when it answered. */
  answered(events: readonly ActiveSequenceEvent[]): void {
    const question = this.#question;
    if (question === undefined) return;
    this.#question = undefined;
    const stillThere = new Set(events.map(({ requestId }) => requestId));
    for (const requestId of question.known) if (!stillThere.has(requestId)) this.#free(requestId);
    for (const { requestId, data } of events) {
      if (question.freed.has(requestId)) continue;
      if (data?.$case === 'added')
        this.#add(requestId, data.value, question.prefilled.has(requestId));
      else if (data?.$case === 'prefillCompleted') this.#prefillDone(requestId);
    }
  }

  /** Tries bookings again whose workers were not known. */
  retryUnplaced(): void {
    for (const [requestId, { added, isPrefilled }] of [...this.#unplaced]) {
      this.#unplaced.delete(requestId);
      this.#add(requestId, added, isPrefilled);
    }
  }

  /** The core has dropped a booking by itself. */
  forget(coreId: string): void {
    if (coreId.startsWith(this.#prefix)) this.#placed.delete(coreId.slice(this.#prefix.length));
  }

  /** The router is gone, and its requests with it. */
  freeAll(): void {
    for (const requestId of [...this.#placed.keys()]) this.#free(requestId);
    this.#unplaced.clear();
  }

  #add(requestId: string, added: SequenceAdded, isPrefilled: boolean): void {
    const rank = rankOf(added);
    const { added: unplaced } = this.#unplaced.get(requestId) ?? {};
    const known = this.#placed.get(requestId) ?? (unplaced && rankOf(unplaced));
    if (known === rank) return;
    // A request that was placed anew, the end of its first booking was lost.
    if (known !== undefined) this.#free(requestId);
    if (this.#placed.size + this.#unplaced.size >= MOST_BOOKINGS) return;
    const isPlaced = this.#options.core.addRemote({
      id: this.#prefix + requestId,
      workerId: asInstanceId(added.workerId),
      dpRank: added.dpRank,
      blockHashes: hashesFromBytes(added.blockHashesLe),
      promptTokens: added.islTokens,
      prefillTokens: isPrefilled ? 0 : added.prefillTokens,
      nowMs: this.#options.clock.monotonicMs(),
      predict: this.#options.predict,
    });
    if (isPlaced) this.#placed.set(requestId, rank);
    else this.#unplaced.set(requestId, { added, isPrefilled });
  }

  #prefillDone(requestId: string): void {
    const unplaced = this.#unplaced.get(requestId);
    if (unplaced !== undefined) unplaced.isPrefilled = true;
    if (!this.#placed.has(requestId)) return;
    const { core, clock } = this.#options;
    core.prefillDone(this.#prefix + requestId, clock.monotonicMs());
  }

  #free(requestId: string): void {
    this.#unplaced.delete(requestId);
    if (this.#placed.delete(requestId)) this.#options.core.free(this.#prefix + requestId);
  }
}

function rankOf({ workerId, dpRank }: SequenceAdded): string {
  return `${workerId}/${dpRank}`;
}
