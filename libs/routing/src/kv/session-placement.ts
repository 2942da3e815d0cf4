import { hasCode } from '@dynamo-ts/base';

import type { Placement, PlacementRequest } from '../placement-router.ts';
import type { SessionBindings, SessionTarget } from './collaborators.ts';

/**
 * Places a request where its session is, as far as that is possible, and binds the session to where it went (RP 4.9).
 *
 * @throws what `schedule` throws
 */
export async function placeInSession(
  sessions: SessionBindings,
  request: PlacementRequest,
  schedule: (request: PlacementRequest) => Promise<Placement>,
): Promise<Placement> {
  const { bookingId } = request;
  const sessionId = sessionOf(request);
  // A caller that names the instance knows better, and one that only asks binds nothing.
  if (sessionId === undefined || request.pinned !== undefined || request.advisory === true)
    return schedule(request);
  const placement = await placeAtTarget(sessions, { ...request, sessionId }, schedule);
  sessions.bound(sessionId, bookingId, placement);
  return placement;
}

async function placeAtTarget(
  sessions: SessionBindings,
  request: PlacementRequest & { readonly sessionId: string },
  schedule: (request: PlacementRequest) => Promise<Placement>,
): Promise<Placement> {
  const target = sessions.target(request.sessionId);
  if (target === undefined) return schedule(request);
  if (!request.excluded.has(target.instanceId)) {
    try {
      return await schedule(towards(request, target));
    } catch (error) {
      if (!target.hard || !hasCode(error, 'backend.unavailable')) throw error;
    }
  }
  sessions.invalidate(request.sessionId);
  return schedule(request);
}

function towards(request: PlacementRequest, target: SessionTarget): PlacementRequest {
  const { instanceId, dpRank, hard } = target;
  return hard
    ? { ...request, pinned: instanceId, pinnedRank: dpRank }
    : { ...request, preferred: { instanceId, dpRank } };
}

/** A session of one model says nothing about those of another, whose worker may be a different one. */
function sessionOf({ model, sessionId }: PlacementRequest): string | undefined {
  return sessionId === undefined || model === undefined ? sessionId : `${model}/${sessionId}`;
}
