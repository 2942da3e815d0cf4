import type { PlacementRequest } from '../placement-router.ts';
import type { RankLoad } from '../kv/collaborators.ts';
import type { PolicyClass } from './policy-profile.ts';

/** What a class assumes of a rank that does not say how much it computes at once (RP 4.6). */
const UNKNOWN_MAX_BATCHED_TOKENS = 10_000_000;

/** Whether a rank passes the hard conditions of a request, overload aside (RP 4.5). */
export function isEligible(rank: RankLoad, request: PlacementRequest): boolean {
  const { pinned, pinnedRank, allowed, excluded, requiredTaints } = request;
  if (excluded.has(rank.instanceId)) return false;
  if (pinned !== undefined) {
    if (rank.instanceId !== pinned) return false;
    if (pinnedRank !== undefined && rank.dpRank !== pinnedRank) return false;
  }
  if (allowed !== undefined && !allowed.has(rank.instanceId)) return false;
  return requiredTaints?.every((taint) => rank.taints.includes(taint)) ?? true;
}

/**
 * Requests with the same conditions wait for the same ranks, so that what holds one of them up holds all of them up, and
 * nobody else. Empty for a request without conditions.
 */
export function conditionsKey(request: PlacementRequest): string {
  const { pinned, pinnedRank, allowed, excluded, requiredTaints } = request;
  if (pinned === undefined && allowed === undefined && excluded.size === 0) {
    if (requiredTaints === undefined || requiredTaints.length === 0) return '';
  }
  return [
    pinned ?? '',
    pinnedRank ?? '',
    allowed === undefined ? '*' : [...allowed].sort().join(),
    [...excluded].sort().join(),
    JSON.stringify([...(requiredTaints ?? [])].sort()),
  ].join('/');
}

/** How many of the ranks that may take a request are too busy for its class. */
export interface Occupancy {
  readonly eligible: number;
  /** Eligible and too busy. */
  readonly busy: number;
  /** Eligible and over their busy thresholds. */
  readonly overloaded: number;
}

/** Counts ranks for a request. */
export function occupancyOf(
  ranks: readonly RankLoad[],
  request: PlacementRequest,
  policyClass: PolicyClass,
): Occupancy {
  let [eligible, busy, overloaded] = [0, 0, 0];
  for (const rank of ranks) {
    if (!isEligible(rank, request)) continue;
    eligible += 1;
    if (rank.overloaded) overloaded += 1;
    if (rank.overloaded || isPrefillBusy(rank, policyClass)) busy += 1;
  }
  return { eligible, busy, overloaded };
}

/** Whether a class lets requests wait with so many ranks busy. */
export function isHeldUp({ eligible, busy }: Occupancy, policyClass: PolicyClass): boolean {
  // Rounding must not make 3 of 10 less than a ratio of 0.3.
  return eligible > 0 && busy > 0 && busy + 1e-9 >= eligible * policyClass.busyWorkerRatio;
}

function isPrefillBusy(rank: RankLoad, policyClass: PolicyClass): boolean {
  const { prefillBusyThreshold, prefillBusyThresholdFrac } = policyClass;
  if (prefillBusyThreshold !== undefined && rank.prefillTokens > prefillBusyThreshold) return true;
  if (prefillBusyThresholdFrac === undefined) return false;
  const atOnce = rank.maxBatchedTokens > 0 ? rank.maxBatchedTokens : UNKNOWN_MAX_BATCHED_TOKENS;
  return rank.prefillTokens > prefillBusyThresholdFrac * atOnce;
}
