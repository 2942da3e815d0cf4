/**
 * Typed face of the native placement core: index, load, cost, choice and record of one endpoint.
 *
 * Every call but the asynchronous ones takes microseconds and never waits. After `close()` all throw `runtime.closed`.
 */
import type { InstanceId } from '@dynamo-ts/base';

import { nativeCall, nativeWork } from './native-call.ts';
import { createPlacementAddon } from './placement-addon.ts';
import type { PlacementAddon } from './placement-addon.ts';
import type {
  BookingOutcome,
  BusyAbove,
  DrainedDecisions,
  FeedResult,
  FreedBooking,
  IndexHealth,
  NotSelected,
  Occupancy,
  PlacementCoreOptions,
  PresentLoads,
  PromptQuery,
  RankConditions,
  RankLoads,
  RankOverlaps,
  Recovery,
  RemoteBooking,
  SelectRequest,
  Selected,
  WorkerEntry,
} from './placement-types.ts';

/** Where requests of one endpoint go, and why. */
export class PlacementCore implements AsyncDisposable {
  readonly #native: PlacementAddon;

  /** Empty at first. @throws `config.invalid` naming the setting that cannot be */
  constructor(options: PlacementCoreOptions) {
    this.#native = nativeCall(() => createPlacementAddon(options));
  }

  /** Adds a worker or changes what is known of it. */
  setWorker(worker: WorkerEntry): void {
    nativeCall(() => this.#native.setWorker(worker));
  }

  /** Forgets a worker. @returns ids of the bookings that went with it */
  removeWorker(workerId: InstanceId): readonly string[] {
    return nativeCall(() => this.#native.removeWorker(workerId));
  }

  /** Takes a worker out of selection for good; its bookings stay until they end or expire. */
  retireWorker(workerId: InstanceId): void {
    nativeCall(() => this.#native.retireWorker(workerId));
  }

  /** Takes a rank out of selection, or back in. */
  setOverloaded(workerId: InstanceId, dpRank: number, overloaded: boolean): void {
    nativeCall(() => this.#native.setOverloaded(workerId, dpRank, overloaded));
  }

  /** Chooses, and books when asked to. An earlier booking of the same id is replaced. */
  select(request: SelectRequest): Selected | NotSelected {
    return nativeCall(() => this.#native.select(request));
  }

  /** How much of a prompt each rank holds. */
  overlap(prompt: PromptQuery): RankOverlaps {
    return nativeCall(() => this.#native.overlap(prompt));
  }

  /** What each rank would have to do if the request came to it. */
  potentialLoads(prompt: PromptQuery & { readonly promptTokens: number }): RankLoads {
    return nativeCall(() => this.#native.potentialLoads(prompt));
  }

  /** What each rank has to do now. */
  loads(): PresentLoads {
    return nativeCall(() => this.#native.loads());
  }

  /** How many of the ranks that may take a request are too busy for it. */
  occupancy(conditions: RankConditions, above: BusyAbove): Occupancy {
    return nativeCall(() => this.#native.occupancy(conditions, above));
  }

  /** Most blocks of a prompt that the device of a rank holds which may take it. */
  bestOverlap(prompt: PromptQuery, conditions: RankConditions): number {
    return nativeCall(() => this.#native.bestOverlap(prompt, conditions));
  }

  /** First token seen. @returns whether the booking is known */
  prefillDone(bookingId: string, nowMs: number): boolean {
    return nativeCall(() => this.#native.prefillDone(bookingId, nowMs));
  }

  /** Output has filled one more block. @returns whether the booking is known */
  outputBlock(bookingId: string, nowMs: number): boolean {
    return nativeCall(() => this.#native.outputBlock(bookingId, nowMs));
  }

  /** Ends a booking. @returns undefined when it is not known */
  free(bookingId: string, outcome?: BookingOutcome): FreedBooking | undefined {
    return nativeCall(() => this.#native.free(bookingId, outcome) ?? undefined);
  }

  /** Drops forgotten bookings and entries whose time is over. @returns ids of the bookings */
  expire(nowMs: number): readonly string[] {
    return nativeCall(() => this.#native.expire(nowMs));
  }

  /** Counts another router's booking; `prefillDone` and `free` end it. @returns whether its rank is known */
  addRemote(booking: RemoteBooking): boolean {
    return nativeCall(() => this.#native.addRemote(booking));
  }

  /** Takes one encoded `KvEventBatch`. Bytes that are none are counted as refused. */
  applyEvents(payload: Uint8Array, nowMs: number): FeedResult {
    return nativeCall(() => this.#native.applyEvents(payload, nowMs));
  }

  /** Takes a worker's whole answer, encoded `WorkerKvQueryResponse` items, and what came meanwhile. */
  finishRecovery(
    workerId: InstanceId,
    dpRank: number,
    items: readonly Uint8Array[],
    nowMs: number,
  ): Promise<FeedResult> {
    return nativeWork(() => this.#native.finishRecovery(workerId, dpRank, items, nowMs));
  }

  /** The worker did not answer: the rank is scored approximately until it does. */
  failRecovery(workerId: InstanceId, dpRank: number, nowMs: number): FeedResult {
    return nativeCall(() => this.#native.failRecovery(workerId, dpRank, nowMs));
  }

  /** Recoveries that are due: ranks nobody has asked for yet, and failed ones whose time has come. */
  recoveriesDue(nowMs: number): readonly Recovery[] {
    return nativeCall(() => this.#native.recoveriesDue(nowMs));
  }

  /** Events may have been lost unseen: everything the rank holds becomes due to be asked for. */
  restoreNeeded(workerId: InstanceId, dpRank: number): void {
    nativeCall(() => this.#native.restoreNeeded(workerId, dpRank));
  }

  /** State and sizes of the index. */
  health(nowMs: number): IndexHealth {
    return nativeCall(() => this.#native.health(nowMs));
  }

  /** Content of the index, read off the event loop: an encoded `QueryIndexResponse` with runs. */
  readIndex(workerId?: InstanceId): Promise<Uint8Array> {
    return nativeWork(() => this.#native.readIndex(workerId));
  }

  /** An encoded `Decision`; undefined when it is not recorded (any more). */
  decision(decisionId: string): Uint8Array | undefined {
    return nativeCall(() => this.#native.decision(decisionId) ?? undefined);
  }

  /** Encoded `Decision`s, newest first; at most 1,000 in one call. */
  recentDecisions(limit: number): readonly Uint8Array[] {
    return nativeCall(() => this.#native.recentDecisions(limit));
  }

  /** Decisions whose requests have ended since the last call. */
  drainDecisions(limit: number): Promise<DrainedDecisions> {
    return nativeWork(() => this.#native.drainDecisions(limit));
  }

  /** Bytes held. */
  memoryBytes(): number {
    return nativeCall(() => this.#native.memoryBytes());
  }

  /** Gives the memory back. Idempotent. */
  close(): Promise<void> {
    this.#native.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
