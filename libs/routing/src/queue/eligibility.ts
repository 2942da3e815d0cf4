import type { Occupancy } from '@dynamo-ts/kv';

import type { PlacementRequest } from '../placement-router.ts';
import type { PolicyClass } from './policy-profile.ts';

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

/** Whether a class lets requests wait with so many ranks busy. */
export function isHeldUp({ eligible, busy }: Occupancy, policyClass: PolicyClass): boolean {
  // Rounding must not make 3 of 10 less than a ratio of 0.3.
  return eligible > 0 && busy > 0 && busy + 1e-9 >= eligible * policyClass.busyWorkerRatio;
}
