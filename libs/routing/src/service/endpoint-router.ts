import type { InstanceId } from '@dynamo-ts/base';
import type { Decision, IndexRank } from '@dynamo-ts/protocol';

import type { PlacementRouter } from '../placement-router.ts';

/** A prompt whose overlap is asked for: its local block hashes, or its tokens. */
export interface PromptQuery {
  readonly blockHashes?: BigUint64Array | undefined;
  /** Used when there are no hashes. */
  readonly tokenIds?: Uint32Array | undefined;
  readonly loraName?: string | undefined;
  /** Cache namespace. */
  readonly salt?: string | undefined;
}

/** Blocks of a prompt that ranks hold; struct of arrays. */
export interface RankOverlaps {
  readonly workerIds: BigUint64Array;
  readonly dpRanks: Uint32Array;
  /** Device, host and disk blocks of each rank, each tier counted from where the faster one ends. */
  readonly blocks: Uint32Array;
}

/** What ranks would have to do if a request came to them; struct of arrays. */
export interface RankLoads {
  readonly workerIds: BigUint64Array;
  readonly dpRanks: Uint32Array;
  readonly prefillTokens: Float64Array;
  readonly decodeBlocks: Float64Array;
  readonly activeRequests: Uint32Array;
}

/** Requests that wait in a router's queue. */
export interface QueueStats {
  readonly pendingCount: number;
  readonly pendingIslTokens: number;
}

/** What an index holds and how far it can be trusted. */
export interface IndexHealth {
  readonly ranks: readonly IndexRank[];
  readonly blocks: bigint;
  readonly bytes: bigint;
}

/** An engine that registers nowhere itself. */
export interface ExternalWorker {
  readonly workerId: InstanceId;
  readonly dpStart: number;
  readonly dpSize: number;
  readonly totalKvBlocks: number;
  readonly maxBatchedTokens: number;
  /** Whether events will come for it; without it is scored by what was routed to it. */
  readonly kvEvents: boolean;
  readonly taints: readonly string[];
}

/** The router of one endpoint, as the service uses it; a `KvRouter` is one. */
export interface EndpointRouter extends PlacementRouter {
  /** Tokens per block; undefined until a worker has said. */
  readonly blockSize: number | undefined;
  /** How many of the workers' ranks have been restored since the start. */
  readonly restored: { readonly done: number; readonly total: number };
  overlap(prompt: PromptQuery): RankOverlaps;
  potentialLoads(prompt: PromptQuery & { readonly promptTokens: number }): RankLoads;
  queueStats(): QueueStats;
  indexHealth(): IndexHealth;
  /** Encoded `QueryIndexResponse` with the index's content; of one worker, or of all. */
  dumpIndex(workerId?: InstanceId): Uint8Array;
  decision(id: string): Decision | undefined;
  /** Newest first. */
  recentDecisions(limit: number): readonly Decision[];
  /** Tells about every decision from now on: when it is made, or when its request has ended. @returns an unsubscribe */
  onDecision(
    listener: (decision: Decision) => void,
    options?: { readonly immediately?: boolean },
  ): () => void;
  /** Adds an engine beside those that discovery knows, or replaces it. */
  addWorker(worker: ExternalWorker): void;
  removeWorker(workerId: InstanceId): void;
  /** Applies an encoded `KvEventBatch` of an added worker. */
  applyEvents(payload: Uint8Array): void;
}
