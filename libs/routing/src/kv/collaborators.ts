/** What a `KvRouter` works with besides its core; each is optional. */
import type { InstanceId } from '@dynamo-ts/base';
import type { Occupancy } from '@dynamo-ts/kv';
import type { Context } from '@dynamo-ts/runtime';

import type { Placement, PlacementRequest, RequestOutcome } from '../placement-router.ts';

/** Load and limits of one rank; a limit of 0 is unknown. */
export interface RankLoad {
  readonly instanceId: InstanceId;
  readonly dpRank: number;
  /** Prompt tokens that it has not computed yet. */
  readonly prefillTokens: number;
  /** Distinct blocks that running requests hold. */
  readonly decodeBlocks: number;
  readonly activeRequests: number;
  /** Prompt tokens that it computes at once. */
  readonly maxBatchedTokens: number;
  readonly totalKvBlocks: number;
  /** Over its busy thresholds, or out of order: not to be chosen now. */
  readonly overloaded: boolean;
  readonly taints: readonly string[];
}

/** Time and class of a request that waited. */
export interface QueuedFor {
  readonly queuedMs: number;
  /** Undefined when nothing is queued in this router. */
  readonly policyClass?: string | undefined;
}

/** When a rank has too many prompts to compute for a request that waits; what is undefined does not apply (RP 4.6). */
export interface PrefillBusy {
  /** With more prompt tokens. */
  readonly prefillBusyThreshold?: number | undefined;
  /** With more than so many times what it computes at once. */
  readonly prefillBusyThresholdFrac?: number | undefined;
}

/** What a queue needs of its router. */
export interface PlacementHost {
  /** Chooses and books now. @throws as `PlacementRouter.route` */
  place(request: PlacementRequest, queued: QueuedFor): Placement;
  /** Most prompt tokens that a rank which may take the request has in cache. */
  bestCachedTokens(request: PlacementRequest): number;
  /** How many of the ranks that may take the request are too busy for it. */
  occupancy(request: PlacementRequest, busy: PrefillBusy): Occupancy;
  /** Workers that may be chosen. */
  readonly workers: number;
}

/** Decides when a request is placed. */
export interface RequestQueue extends AsyncDisposable {
  /** Resolves when it is placed. @throws as `PlacementRouter.route`, `capacity.queue_full` */
  schedule(request: PlacementRequest, context: Context): Promise<Placement>;
  /** A rank may have room that had none. Never waits. */
  capacityChanged(): void;
  /** What waits now, per class. */
  stats(): readonly QueueClassStats[];
}

/** What waits in one class of a queue. */
export interface QueueClassStats {
  readonly pendingCount: number;
  readonly pendingIslTokens: number;
}

/** The worker that a session is bound to. */
export interface SessionTarget {
  readonly instanceId: InstanceId;
  readonly dpRank?: number | undefined;
  /** No other worker may be chosen; otherwise it is preferred. */
  readonly hard: boolean;
}

/** Keeps the requests of a session on one worker (RP 4.9). */
export interface SessionBindings extends AsyncDisposable {
  target(sessionId: string): SessionTarget | undefined;
  /** A request of the session was placed. */
  bound(sessionId: string, bookingId: string, placement: Placement): void;
  /** The request's first token came. */
  confirmed(bookingId: string): void;
  /** A request ended; unknown ids are ignored. */
  ended(bookingId: string, outcome: RequestOutcome | undefined): void;
  /** The session's worker cannot take it. */
  invalidate(sessionId: string): void;
  instanceGone(instanceId: InstanceId): void;
}

/** A booking as other routers get it. */
export interface SharedBooking {
  readonly bookingId: string;
  readonly instanceId: InstanceId;
  readonly dpRank: number;
  readonly blockHashes: BigUint64Array;
  readonly islTokens: number;
  /** Prompt tokens that the worker must compute. */
  readonly prefillTokens: number;
  readonly expectedOutputTokens?: number | undefined;
}

/** Tells other routers what this one books (RP 4.7). Nothing waits. */
export interface LoadSharing extends AsyncDisposable {
  added(booking: SharedBooking): void;
  prefillDone(bookingId: string): void;
  freed(bookingId: string): void;
  /** Bookings that the core dropped by itself. */
  forgotten(bookingIds: readonly string[]): void;
}

/** Keeps ranks that are over their busy thresholds out of selection. */
export interface BusyRanks extends AsyncDisposable {
  /** Brings the core up to date; called right before a choice. */
  refresh(): void;
  /** The core has forgotten a worker, which may come again. */
  instanceGone(instanceId: InstanceId): void;
}
