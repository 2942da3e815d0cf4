import type { AbortOptions, InstanceId } from '@dynamo-ts/base';
import type { PromptQuery, RankLoads, RankOverlaps } from '@dynamo-ts/kv';
import type { Decision } from '@dynamo-ts/protocol';

import type { IndexReport } from '../kv/health/index-health.ts';
import type { AskWorker } from '../kv/feed/worker-kv-query.ts';
import type { AddedWorker } from '../kv/fleet/worker-roster.ts';
import type { PlacementRouter } from '../placement-router.ts';

/** Requests that wait in a router's queue. */
export interface QueueStats {
  readonly pendingCount: number;
  readonly pendingIslTokens: number;
}

/** The router of one endpoint, as the service uses it; a `KvRouter` is one. */
export interface EndpointRouter extends PlacementRouter {
  /** Tokens per block. */
  readonly blockSize: number;
  /** Bookings that have not been given back. */
  readonly activeRequests: number;
  /** How many of the workers' ranks have been restored since the start. */
  readonly restored: { readonly done: number; readonly total: number };
  /** Resolves when the workers that there are have been restored. */
  ready(options?: AbortOptions): Promise<void>;
  /** Workers that must not take a request: of other models than the one it names, or with blocks that another router has. */
  foreign(model: string | undefined, isOnlyRouter: boolean): readonly InstanceId[];
  overlap(prompt: PromptQuery): RankOverlaps;
  potentialLoads(prompt: PromptQuery & { readonly promptTokens: number }): RankLoads;
  queueStats(): QueueStats;
  indexHealth(): IndexReport;
  /** Encoded `QueryIndexResponse` with the index's content; of one worker, or of all. */
  readIndex(workerId?: InstanceId): Promise<Uint8Array>;
  decision(id: string): Decision | undefined;
  /** Newest first. */
  recentDecisions(limit: number): readonly Decision[];
  /** Tells about every decision from now on: when it is made, or when its request has ended. @returns an unsubscribe */
  onDecision(
    listener: (decision: Decision) => void,
    options?: { readonly immediately?: boolean },
  ): () => void;
  /** Adds an engine beside those that discovery knows, or replaces it; `ask` answers for what it missed. */
  addWorker(worker: AddedWorker, ask?: AskWorker): void;
  removeWorker(workerId: InstanceId): void;
  /** Whether a worker registered itself. */
  isDiscovered(workerId: InstanceId): boolean;
  /** Applies an encoded `KvEventBatch` of an added worker. */
  applyEvents(payload: Uint8Array): void;
}
