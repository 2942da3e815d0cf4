/** What goes into the placement core and what comes out. Arrays of one result have the same length and order. */
import type { InstanceId } from '@dynamo-ts/base';

/** Weights of the cost (RP 4.3). */
export interface CostSettings {
  /** `linear` adds prefill and decode blocks, `lmetric` multiplies them. */
  readonly policy: 'linear' | 'lmetric';
  /** Share of a cached device block that prefill is relieved of. */
  readonly overlapScoreCredit: number;
  /** How fast the credit goes as a worker has more prefill to do than the least busy one. */
  readonly overlapScoreCreditDecay: number;
  readonly prefillLoadScale: number;
  readonly hostCacheHitWeight: number;
  readonly diskCacheHitWeight: number;
  readonly sharedCacheMultiplier: number;
  /** Blocks that one active request costs besides those it holds. */
  readonly decodeActiveRequestWeight: number;
  /** Weight of the cached blocks that the request would displace. */
  readonly displacementWeight: number;
  /** 0 takes the cheapest; greater ones draw by softmax. */
  readonly temperature: number;
  readonly trackPrefillTokens: boolean;
}

/** Weights of the cost, as far as they do not follow from the block size. */
export interface PlacementCost extends Omit<CostSettings, 'decodeActiveRequestWeight'> {
  /** Blocks that one active request costs besides those it holds. @default 384 / block size */
  readonly decodeActiveRequestWeight: number | undefined;
}

/** Settings of a `PlacementCore`. */
export interface PlacementCoreOptions {
  readonly blockSize: number;
  /** `namespace.component.endpoint`, for decisions. */
  readonly endpoint: string;
  readonly routerId: InstanceId;
  /** Off: workers are scored by what was routed to them. */
  readonly useKvEvents: boolean;
  /** Memory that the index may take; the coldest blocks go beyond it. */
  readonly indexBudgetBytes?: number | undefined;
  /** How long a routed prompt counts as cached where there are no events. */
  readonly ttlMs: number;
  readonly maxTreeSize: number;
  readonly pruneTargetRatio: number;
  /** How long a routed prompt counts as cached before its event comes; absent is not at all. */
  readonly predictedTtlMs?: number | undefined;
  readonly trackActiveBlocks: boolean;
  readonly trackOutputBlocks: boolean;
  readonly assumeKvReuse: boolean;
  readonly activeSequenceStride: number;
  readonly bookingExpiryMs: number;
  readonly cost: PlacementCost;
  readonly seed: bigint;
  /** Memory for recent decisions; 0 records none. */
  readonly decisionRingBytes: number;
}

/** A worker and its ranks `dpStart` to `dpStart + dpSize - 1`. */
export interface WorkerEntry {
  readonly workerId: InstanceId;
  readonly dpStart: number;
  readonly dpSize: number;
  /** 0 is unknown. */
  readonly totalKvBlocks: number;
  /** 0 is unknown. */
  readonly maxBatchedTokens: number;
  /** Publishes KV events. */
  readonly kvEvents: boolean;
  readonly taints: readonly string[];
}

/** A prompt, as hashes or as tokens. */
export interface PromptQuery {
  /** Local hashes of its complete blocks; taken before `tokenIds`. */
  readonly blockHashes?: BigUint64Array | undefined;
  readonly tokenIds?: Uint32Array | undefined;
  readonly loraName?: string | undefined;
  readonly salt?: string | undefined;
}

/** Settings of the cost for one request. */
export interface SelectOverrides {
  readonly overlapScoreCredit?: number | undefined;
  readonly prefillLoadScale?: number | undefined;
  readonly overlapScoreWeight?: number | undefined;
  readonly temperature?: number | undefined;
  readonly assumeKvReuse?: boolean | undefined;
  readonly trackPrefillTokens?: boolean | undefined;
  readonly displacementWeight?: number | undefined;
}

/** How the core chooses. */
export type SelectMode = 'kv' | 'round-robin' | 'random' | 'least-loaded' | 'power-of-two';

/** A request to place. */
export interface SelectRequest extends PromptQuery {
  readonly requestId: string;
  readonly traceId?: string | undefined;
  readonly mode: SelectMode;
  readonly promptTokens: number;
  /** Monotonic. */
  readonly nowMs: number;
  readonly unixMs: number;
  /** Off: only answers. */
  readonly book: boolean;
  /** Keeps the decision. @default `book` */
  readonly record?: boolean | undefined;
  readonly excludedWorkers?: BigUint64Array | undefined;
  readonly allowedWorkers?: BigUint64Array | undefined;
  readonly pinnedWorker?: InstanceId | undefined;
  readonly pinnedRank?: number | undefined;
  readonly preferredWorker?: InstanceId | undefined;
  readonly preferredRank?: number | undefined;
  readonly requiredTaints?: readonly string[] | undefined;
  readonly preferredTaints?:
    readonly { readonly taint: string; readonly weight: number }[] | undefined;
  readonly overrides?: SelectOverrides | undefined;
  readonly expectedOutputTokens?: number | undefined;
  readonly queuedMs?: number | undefined;
  readonly policyClass?: string | undefined;
}

/** Why nothing was chosen. */
export type SelectFailure =
  | 'no_endpoints'
  | 'all_overloaded'
  | 'pinned_unavailable'
  | 'pinned_overloaded'
  | 'invalid_override';

/** A choice. */
export interface Selected {
  readonly failure?: undefined;
  readonly workerId: InstanceId;
  readonly dpRank: number;
  readonly reason: string;
  /** Blocks of the prompt that the rank holds, by tier weight. */
  readonly overlapBlocks: number;
  /** Prompt tokens that need no prefill there. */
  readonly cachedTokens: number;
  readonly requiredBlocks: number;
  readonly prefillTokens: number;
  readonly potentialDecodeBlocks: number;
  /** Empty when the decision is not recorded. */
  readonly decisionId: string;
  /** Undefined when the prompt came hashed. */
  readonly blockHashingNs?: number | undefined;
  readonly sequenceHashingNs: number;
  /** Undefined when the index was not asked: only mode `kv` does. */
  readonly matchingNs?: number | undefined;
}

/** No choice. */
export interface NotSelected {
  readonly failure: SelectFailure;
  readonly message?: string | undefined;
}

/** Cached blocks of a prompt, per rank. */
export interface RankOverlaps {
  readonly workerIds: BigUint64Array;
  readonly dpRanks: Uint32Array;
  /** Device, host, disk of the first rank, then of the second; each tier counted from where the faster one ends. */
  readonly blocks: Uint32Array;
}

/** Load per rank. */
export interface RankLoads {
  readonly workerIds: BigUint64Array;
  readonly dpRanks: Uint32Array;
  readonly prefillTokens: Float64Array;
  readonly decodeBlocks: Float64Array;
  readonly activeRequests: Uint32Array;
}

/** Load per rank now. */
export interface PresentLoads extends RankLoads {
  /** 0 where it is not known. */
  readonly totalKvBlocks: Float64Array;
  /** 0 where it is not known. */
  readonly maxBatchedTokens: Float64Array;
  /** 1 where the rank is out of selection. */
  readonly overloaded: Uint8Array;
}

/** Which ranks may take a request, whatever they have to do. */
export interface RankConditions {
  /** The only workers that may; all when undefined. */
  readonly allowedWorkers?: BigUint64Array | undefined;
  readonly excludedWorkers?: BigUint64Array | undefined;
  readonly pinnedWorker?: InstanceId | undefined;
  readonly pinnedRank?: number | undefined;
  readonly requiredTaints?: readonly string[] | undefined;
}

/** When a rank counts as busy for a request that waits. */
export interface BusyAbove {
  /** With more prompt tokens to compute. */
  readonly prefillTokens?: number | undefined;
  /** With more than so many times what it computes at once. */
  readonly prefillShare?: number | undefined;
  /** Workers that are as full as those over their busy thresholds. */
  readonly outOfOrder?: BigUint64Array | undefined;
}

/** How many of the ranks that may take a request have room for it. */
export interface Occupancy {
  readonly eligible: number;
  /** Eligible and too busy. */
  readonly busy: number;
  /** Eligible, and over their busy thresholds or out of order. */
  readonly overloaded: number;
}

/** Another router's booking. */
export interface RemoteBooking {
  readonly id: string;
  readonly workerId: InstanceId;
  readonly dpRank: number;
  readonly blockHashes: BigUint64Array;
  readonly promptTokens?: number | undefined;
  /** Prompt tokens that the worker must compute. */
  readonly prefillTokens: number;
  readonly nowMs: number;
  /** The prompt counts as cached there until its event comes. */
  readonly predict: boolean;
}

/** What a booking was. */
export interface FreedBooking {
  readonly workerId: InstanceId;
  readonly dpRank: number;
  readonly predictedCachedTokens: number;
}

/** Events that are missing: ask the worker. */
export interface Recovery {
  readonly workerId: InstanceId;
  readonly dpRank: number;
  /** Epoch of the events that are known; 0 when none. */
  readonly epoch: bigint;
  /** First missing event; absent asks for everything. */
  readonly startEventId?: bigint | undefined;
}

/** What became of fed events. */
export interface FeedResult {
  readonly recoveries: readonly Recovery[];
  readonly applied: number;
  readonly stale: number;
  readonly refused: number;
  /** Why the first batch or event that was not used was not. */
  readonly refusedFor?: RefusalReason | null | undefined;
}

/** Why a batch or an event is not used; `unknown_worker` is no mistake of anybody. */
export type RefusalReason =
  'unreadable' | 'too_large' | 'unknown_worker' | 'unknown_rank' | 'block_size' | 'impossible';

/** How far a rank's part of the index can be trusted; `silent` has no events. */
export type RankState = 'waiting' | 'live' | 'recovering' | 'demoted' | 'silent';

/** The index, per rank and in total. */
export interface IndexHealth {
  readonly workerIds: BigUint64Array;
  readonly dpRanks: Uint32Array;
  readonly states: readonly RankState[];
  readonly epochs: BigUint64Array;
  readonly lastEventIds: BigUint64Array;
  readonly blocks: Float64Array;
  readonly bytes: Float64Array;
  readonly gaps: Float64Array;
  readonly resyncs: Float64Array;
  readonly stalenessMs: Float64Array;
  readonly predictedCachedTokens: Float64Array;
  readonly reportedCachedTokens: Float64Array;
  readonly totals: IndexTotals;
}

/** The whole index. */
export interface IndexTotals {
  readonly blocks: number;
  readonly bytes: number;
  readonly entries: number;
  readonly evicted: number;
  /** Event batches applied. */
  readonly version: number;
  /** Events that were there already. */
  readonly stale: number;
  /** Batches and events that were not used. */
  readonly refusedByReason: Readonly<Record<RefusalReason, number>>;
  /** Events by `type:status`, for example `stored:ok`. */
  readonly eventsByStatus: Readonly<Record<string, number>>;
}

/** What became of a request. */
export interface BookingOutcome {
  readonly kind: string;
  readonly cachedTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  readonly ttftMs?: number | undefined;
  readonly itlMs?: number | undefined;
  readonly errorCode?: string | undefined;
}

/** Decisions that have ended, as NDJSON. */
export interface DrainedDecisions {
  readonly lines: string;
  readonly count: number;
  /** Decisions that left the ring unread since the last call. */
  readonly dropped: number;
}
