import type { Placement, PlacementRequest } from '../placement-router.ts';
import type { HeapItem } from './indexed-heap.ts';
import { compareKeys } from './queue-key.ts';
import type { QueueKey } from './queue-key.ts';
import type { WaitingClass } from './waiting-class.ts';

/** A request that waits. */
export interface QueueEntry extends HeapItem {
  readonly request: PlacementRequest;
  readonly waitingClass: WaitingClass;
  /** Who shares the class's turns; see {@link FairQueue}. */
  readonly flowKey: string;
  /** Requests of the same conditions; see {@link conditionsKey}. */
  readonly laneKey: string;
  readonly arrivedAtMs: number;
  key: QueueKey;
  /** Prompt tokens that the best rank has in cache, as seen at `estimatedAtMs`. */
  cachedTokens: number;
  estimatedAtMs: number;
  /** Stops listening for the end of the request's context. */
  readonly offStop: () => void;
  /** Ends the wait; called once. */
  readonly settle: {
    readonly resolve: (placement: Placement) => void;
    readonly reject: (error: unknown) => void;
  };
}

/** Prompt tokens that a worker would have to compute, at least 1: what a turn is charged. */
export function uncachedTokensOf(entry: QueueEntry): number {
  return Math.max(1, entry.request.promptTokens - entry.cachedTokens);
}

/** Negative when `a` goes before `b`. */
export function compareEntries(a: QueueEntry, b: QueueEntry): number {
  return compareKeys(a.key, b.key);
}
