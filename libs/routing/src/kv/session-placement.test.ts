import { DynamoError, asInstanceId } from '@dynamo-ts/base';
import { describe, expect, it } from 'vitest';

import type { Placement, PlacementRequest } from '../placement-router.ts';
import type { SessionBindings, SessionTarget } from './collaborators.ts';
import { placeInSession } from './session-placement.ts';

const home = asInstanceId(1n);
const other = asInstanceId(2n);

class Bindings implements SessionBindings {
  bindings: string[] = [];
  present: SessionTarget | undefined;
  constructor(target: SessionTarget | undefined) {
    this.present = target;
  }
  target(): SessionTarget | undefined {
    return this.present;
  }
  bound(sessionId: string, bookingId: string, placement: Placement): void {
    this.bindings.push(`${sessionId} ${bookingId} ${placement.instanceId}`);
  }
  invalidate(): void {
    this.present = undefined;
  }
  confirmed(): void {}
  ended(): void {}
  instanceGone(): void {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

const request: PlacementRequest = {
  bookingId: 'b',
  blockHashes: new BigUint64Array(),
  blockSize: 16,
  promptTokens: 1,
  excluded: new Set(),
  sessionId: 's',
};

const at = (instanceId: typeof home): Placement => ({
  instanceId,
  overlapBlocks: 0,
  cachedTokens: 0,
  queuedMs: 0,
  reason: 'test',
});

/** Places at the pinned or preferred instance, else at the other one; refuses to pin `gone`. */
function scheduler(gone?: typeof home) {
  const asked: PlacementRequest[] = [];
  const schedule = (each: PlacementRequest): Promise<Placement> => {
    asked.push(each);
    if (each.pinned !== undefined && each.pinned === gone)
      return Promise.reject(new DynamoError('backend.unavailable', 'gone'));
    return Promise.resolve(at(each.pinned ?? each.preferred?.instanceId ?? other));
  };
  return { asked, schedule };
}

describe('placeInSession', () => {
  it('pins a hard target, prefers a soft one, and binds to where the request went', async () => {
    for (const hard of [true, false]) {
      const sessions = new Bindings({ instanceId: home, dpRank: 1, hard });
      const { asked, schedule } = scheduler();
      expect((await placeInSession(sessions, request, schedule)).instanceId).toBe(home);
      expect(asked[0]).toMatchObject(
        hard ? { pinned: home, pinnedRank: 1 } : { preferred: { instanceId: home, dpRank: 1 } },
      );
      expect(sessions.bindings).toEqual(['s b 1']);
    }
  });

  it('chooses freely once when the target is gone or failed the request', async () => {
    const target = { instanceId: home, hard: true };
    const excluded = new Set([home]);
    for (const [each, gone] of [
      [request, home],
      [{ ...request, excluded }, undefined],
    ] as const) {
      const sessions = new Bindings(target);
      const { asked, schedule } = scheduler(gone);
      expect((await placeInSession(sessions, each, schedule)).instanceId).toBe(other);
      expect(asked.at(-1)?.pinned).toBeUndefined();
      expect(sessions.bindings).toEqual(['s b 2']);
    }
  });

  it('leaves requests alone that name their instance, only ask, or have no session', async () => {
    for (const fields of [{ pinned: other }, { advisory: true }, { sessionId: undefined }]) {
      const sessions = new Bindings({ instanceId: home, hard: true });
      const { schedule } = scheduler();
      const placed = await placeInSession(sessions, { ...request, ...fields }, schedule);
      expect(placed.instanceId).toBe(other);
      expect(sessions.bindings).toEqual([]);
    }
  });

  it('does not hide that the target is busy', async () => {
    const sessions = new Bindings({ instanceId: home, hard: true });
    const busy = (): Promise<Placement> =>
      Promise.reject(new DynamoError('capacity.pool_exhausted', 'busy'));
    await expect(placeInSession(sessions, request, busy)).rejects.toMatchObject({
      code: 'capacity.pool_exhausted',
    });
    expect(sessions.present).toBeDefined();
  });
});
