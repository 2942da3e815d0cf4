import type { InstanceId } from '@dynamo-ts/base';

import type { Placement, PlacementRequest } from '../placement-router.ts';

/** Load and limits of one rank that a request may be placed on. */
export interface RankLoad {
  readonly instanceId: InstanceId;
  readonly dpRank: number;
  /** Prompt tokens that it has not computed yet. */
  readonly prefillTokens: number;
  /** Prompt tokens that it computes at once; 0 when unknown. */
  readonly maxBatchedTokens: number;
  /** Over its busy thresholds. */
  readonly overloaded: boolean;
  readonly taints: readonly string[];
}

/** What the queue tells about a request whose turn has come. */
export interface QueuedPlacement {
  readonly queuedMs: number;
  /** Queue class; undefined when nothing is queued in this router. */
  readonly policyClass?: string | undefined;
}

/** What places requests when their turn comes. */
export interface PlacementHost {
  /** Chooses and books now. @throws `capacity.pool_exhausted` and the like */
  place(request: PlacementRequest, queued: QueuedPlacement): Placement;
  /** Prompt tokens that the best rank which may take the request has in cache. */
  bestCachedTokens(request: PlacementRequest): number;
  /** All ranks as they are now. */
  ranks(): readonly RankLoad[];
}
