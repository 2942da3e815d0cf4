/** Ranks whose prefill tokens tests move by hand; for tests of the queue. */
import { DynamoError, asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { Occupancy } from '@dynamo-ts/kv';

import type { Placement, PlacementRequest } from '../placement-router.ts';
import type { PlacementHost, PrefillBusy, QueuedFor, RankLoad } from '../kv/collaborators.ts';

/** A request without conditions. */
export function requestOf(id: string, fields: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    bookingId: id,
    blockHashes: new BigUint64Array(),
    blockSize: 16,
    promptTokens: 100,
    excluded: new Set(),
    ...fields,
  };
}

/** Places on the eligible rank with the fewest prefill tokens and books the prompt there. */
export class TestingHost implements PlacementHost {
  /** Booking ids in the order in which they were placed. */
  readonly placed: string[] = [];
  readonly queued: Map<string, QueuedFor> = new Map<string, QueuedFor>();
  /** Cached prompt tokens by booking id. */
  readonly cached: Map<string, number> = new Map<string, number>();
  looks = 0;
  readonly #ranks: RankLoad[] = [];
  readonly #bookings = new Map<string, { readonly index: number; readonly tokens: number }>();

  constructor(instances: number) {
    for (let index = 0; index < instances; index++)
      this.#ranks.push({
        instanceId: asInstanceId(BigInt(index + 1)),
        dpRank: 0,
        prefillTokens: 0,
        decodeBlocks: 0,
        activeRequests: 0,
        totalKvBlocks: 0,
        maxBatchedTokens: 1000,
        overloaded: false,
        taints: [],
      });
  }

  get instanceIds(): readonly InstanceId[] {
    return this.#ranks.map(({ instanceId }) => instanceId);
  }

  get workers(): number {
    return this.#ranks.length;
  }

  occupancy(request: PlacementRequest, busy: PrefillBusy): Occupancy {
    this.looks += 1;
    const eligible = this.#ranks.filter((rank) => isEligible(rank, request));
    const overloaded = eligible.filter((rank) => rank.overloaded);
    const isBusy = (rank: RankLoad): boolean => rank.overloaded || isPrefillBusy(rank, busy);
    return {
      eligible: eligible.length,
      busy: eligible.filter(isBusy).length,
      overloaded: overloaded.length,
    };
  }

  bestCachedTokens({ bookingId }: PlacementRequest): number {
    return this.cached.get(bookingId) ?? 0;
  }

  place(request: PlacementRequest, queued: QueuedFor): Placement {
    const free = this.#ranks.filter((rank) => isEligible(rank, request) && !rank.overloaded);
    const [best] = [...free].sort((a, b) => a.prefillTokens - b.prefillTokens);
    if (best === undefined) throw new DynamoError('capacity.pool_exhausted', 'all are busy');
    const { bookingId, promptTokens } = request;
    const index = this.#ranks.indexOf(best);
    const tokens = promptTokens - this.bestCachedTokens(request);
    this.#bookings.set(bookingId, { index, tokens });
    this.#ranks[index] = { ...best, prefillTokens: best.prefillTokens + tokens };
    this.placed.push(bookingId);
    this.queued.set(bookingId, queued);
    return {
      instanceId: best.instanceId,
      dpRank: 0,
      overlapBlocks: 0,
      cachedTokens: 0,
      queuedMs: queued.queuedMs,
      reason: 'test',
    };
  }

  /** The request's prompt is computed. */
  prefillDone(bookingId: string): void {
    const booking = this.#bookings.get(bookingId);
    const rank = booking && this.#ranks[booking.index];
    if (booking === undefined || rank === undefined) return;
    this.#bookings.delete(bookingId);
    this.#ranks[booking.index] = { ...rank, prefillTokens: rank.prefillTokens - booking.tokens };
  }

  /** Replaces facts of an instance's rank. */
  change(instanceId: InstanceId | bigint, fields: Partial<RankLoad>): void {
    const index = this.#ranks.findIndex((rank) => rank.instanceId === instanceId);
    const rank = this.#ranks[index];
    if (rank !== undefined) this.#ranks[index] = { ...rank, ...fields };
  }
}

function isEligible(rank: RankLoad, request: PlacementRequest): boolean {
  const { pinned, allowed, excluded, requiredTaints = [] } = request;
  if (excluded.has(rank.instanceId) || allowed?.has(rank.instanceId) === false) return false;
  if (pinned !== undefined && rank.instanceId !== pinned) return false;
  return requiredTaints.every((taint) => rank.taints.includes(taint));
}

function isPrefillBusy({ prefillTokens, maxBatchedTokens }: RankLoad, busy: PrefillBusy): boolean {
  const { prefillBusyThreshold = Infinity, prefillBusyThresholdFrac = Infinity } = busy;
  return (
    prefillTokens > prefillBusyThreshold ||
    prefillTokens > prefillBusyThresholdFrac * maxBatchedTokens
  );
}
