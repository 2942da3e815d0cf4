/** One choice: the request as the core wants it, the answer as callers want it, failures as errors. */
import { DynamoError, PUBLIC_MESSAGE, asInstanceId, instanceIdHex } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import type {
  NotSelected,
  Occupancy,
  PlacementCore,
  RankConditions,
  SelectMode,
  SelectOverrides,
  SelectRequest,
  Selected,
} from '@dynamo-ts/kv';
import { formatEndpointPath } from '@dynamo-ts/protocol';

import type { PlacementRequest, RouterConfigOverride } from '../placement-router.ts';
import type { RouterMode } from '../router-mode.ts';
import type { BusyRanks, PrefillBusy, QueuedFor, RankLoad } from './collaborators.ts';
import type { FollowedInstances, WorkerRoster } from './fleet/worker-roster.ts';

/** What a {@link Placer} works with. */
export interface PlacerOptions {
  readonly core: PlacementCore;
  readonly roster: WorkerRoster;
  readonly instances: FollowedInstances;
  readonly blockSize: number;
  readonly mode: RouterMode;
  readonly busy: BusyRanks | undefined;
  readonly clock: Clock;
}

const NO_HASHES = new BigUint64Array(0);
const NOBODY: ReadonlySet<InstanceId> = new Set();

/** Chooses. */
export class Placer {
  readonly #options: PlacerOptions;

  constructor(options: PlacerOptions) {
    this.#options = options;
  }

  /**
   * Chooses now and books, unless the request is advisory.
   *
   * @throws `backend.unavailable`, `capacity.pool_exhausted`, `request.invalid`
   */
  select(request: PlacementRequest, queued: QueuedFor): Selected {
    this.#options.busy?.refresh();
    if (!this.#isReachable(request.pinned)) throw this.#pinnedUnavailable(request);
    const selected = this.#options.core.select(this.#message(request, queued));
    if (selected.failure !== undefined) throw this.#error(selected, request);
    return selected;
  }

  /** Most prompt tokens that a rank which may take the request has in cache. */
  bestCachedTokens(request: PlacementRequest): number {
    const { core, blockSize } = this.#options;
    const prompt = { blockHashes: this.#hashes(request) };
    const conditions = conditionsOf(request, this.#excluded(request));
    return Math.min(core.bestOverlap(prompt, conditions) * blockSize, request.promptTokens);
  }

  /** How many of the ranks that may take a request are too busy for it; those that are out of order are overloaded. */
  occupancy(request: PlacementRequest, busy: PrefillBusy): Occupancy {
    const { core, roster } = this.#options;
    return core.occupancy(conditionsOf(request, arrayOf(request.excluded)), {
      prefillTokens: busy.prefillBusyThreshold,
      prefillShare: busy.prefillBusyThresholdFrac,
      outOfOrder: roster.excluded(NOBODY),
    });
  }

  /** Load and limits of all ranks. */
  ranks(): readonly RankLoad[] {
    const { core, roster } = this.#options;
    const loads = core.loads();
    const outOfOrder = new Set(roster.excluded(NOBODY));
    return Array.from(loads.workerIds, (id, index): RankLoad => {
      const instanceId = asInstanceId(id);
      const fact = roster.get(instanceId);
      return {
        instanceId,
        dpRank: loads.dpRanks[index] ?? 0,
        prefillTokens: loads.prefillTokens[index] ?? 0,
        decodeBlocks: loads.decodeBlocks[index] ?? 0,
        activeRequests: loads.activeRequests[index] ?? 0,
        maxBatchedTokens: fact?.maxBatchedTokens ?? 0,
        totalKvBlocks: fact?.totalKvBlocks ?? 0,
        overloaded: loads.overloaded[index] === 1 || outOfOrder.has(id),
        taints: fact?.taints ?? [],
      };
    });
  }

  #message(request: PlacementRequest, queued: QueuedFor): SelectRequest {
    const { clock } = this.#options;
    const { preferred, overrides } = request;
    const isAdvisory = request.advisory ?? false;
    return {
      requestId: request.bookingId,
      traceId: request.traceId,
      mode: this.#mode(request),
      blockHashes: this.#hashes(request),
      promptTokens: request.promptTokens,
      nowMs: clock.monotonicMs(),
      unixMs: clock.now(),
      book: !isAdvisory,
      ...conditionsOf(request, this.#excluded(request)),
      preferredWorker: preferred?.instanceId,
      preferredRank: preferred?.dpRank,
      preferredTaints: request.preferredTaints,
      overrides: overrides === undefined ? undefined : overridesOf(overrides),
      expectedOutputTokens: request.expectedOutputTokens,
      queuedMs: queued.queuedMs,
      policyClass: queued.policyClass,
    };
  }

  /** A pinned worker is the caller's choice, also when it is busy. */
  #excluded({ pinned, excluded }: PlacementRequest): BigUint64Array | undefined {
    return pinned === undefined ? this.#options.roster.excluded(excluded) : arrayOf(excluded);
  }

  #mode({ mode = this.#options.mode, pinned }: PlacementRequest): SelectMode {
    if (mode !== 'direct') return mode;
    if (pinned !== undefined) return 'kv';
    throw new DynamoError(
      'request.invalid',
      'router mode direct needs the instance id in the request (nvext.backend_instance_id, pinned_instance_id)',
    );
  }

  /** Hashes of other blocks than the index's say nothing about it. */
  #hashes(request: PlacementRequest): BigUint64Array {
    return request.blockSize === this.#options.blockSize ? request.blockHashes : NO_HASHES;
  }

  #error({ failure, message }: NotSelected, request: PlacementRequest): DynamoError {
    const name = formatEndpointPath(this.#options.instances.path);
    switch (failure) {
      case 'invalid_override':
        return new DynamoError(
          'request.invalid',
          `router_config_override cannot be used: ${message ?? 'a value is out of range'}`,
        );
      case 'pinned_unavailable':
        return this.#pinnedUnavailable(request);
      case 'pinned_overloaded':
        return new DynamoError(
          'capacity.pool_exhausted',
          `instance ${instanceIdHex(request.pinned ?? 0n)} of ${name} is busy, please retry later`,
        );
      case 'all_overloaded':
        return exhausted(name);
      case 'no_endpoints':
        return this.#isExhausted(request) ? exhausted(name) : this.#unavailable(name, request);
    }
  }

  /** Whether a pinned worker is not known to be out of order. */
  #isReachable(pinned: InstanceId | undefined): boolean {
    const { instances, roster } = this.#options;
    return (
      pinned === undefined || roster.isExternal(pinned) || instances.routable().includes(pinned)
    );
  }

  #pinnedUnavailable({ pinned = asInstanceId(0n) }: PlacementRequest): DynamoError {
    const name = formatEndpointPath(this.#options.instances.path);
    return new DynamoError(
      'backend.unavailable',
      `instance ${instanceIdHex(pinned)} of ${name} cannot take the request: it is not registered, has not the rank, serves another model, cannot be reached or has failed it`,
      { details: PUBLIC_MESSAGE },
    );
  }

  /** Whether there are instances for the request that are only overloaded. */
  #isExhausted({ excluded, allowed }: PlacementRequest): boolean {
    const isPossible = (id: InstanceId): boolean =>
      !excluded.has(id) && (allowed === undefined || allowed.has(id));
    const { instances } = this.#options;
    return !instances.free().some(isPossible) && instances.routable().some(isPossible);
  }

  #unavailable(name: string, request: PlacementRequest): DynamoError {
    const { excluded, requiredTaints, allowed } = request;
    const taints = requiredTaints?.length ? `, required taints: ${requiredTaints.join(', ')}` : '';
    return new DynamoError(
      'backend.unavailable',
      `no instance of ${name} can take the request (${this.#options.roster.size} known, ${excluded.size} excluded because they failed it or serve other models${taints}); retry later`,
      taints === '' && allowed === undefined ? {} : { details: PUBLIC_MESSAGE },
    );
  }
}

function exhausted(name: string): DynamoError {
  return new DynamoError(
    'capacity.pool_exhausted',
    `all instances of ${name} are busy, please retry later`,
  );
}

function conditionsOf(
  { allowed, pinned, pinnedRank, requiredTaints }: PlacementRequest,
  excludedWorkers: BigUint64Array | undefined,
): RankConditions {
  return {
    allowedWorkers: allowed === undefined ? undefined : BigUint64Array.from(allowed),
    excludedWorkers,
    pinnedWorker: pinned,
    pinnedRank,
    requiredTaints,
  };
}

function arrayOf(ids: ReadonlySet<InstanceId>): BigUint64Array | undefined {
  return ids.size === 0 ? undefined : BigUint64Array.from(ids);
}

function overridesOf({ routerTemperature, ...rest }: RouterConfigOverride): SelectOverrides {
  return { ...rest, temperature: routerTemperature };
}
