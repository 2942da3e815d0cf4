import type { InstanceId } from '@dynamo-ts/base';
import type { Context } from '@dynamo-ts/runtime';

import type { RouterMode } from './router-mode.ts';

/** What a request asks of its placement besides its prompt; nothing when absent. */
export interface PlacementWishes {
  /** Rank of the pinned instance; any when undefined. */
  readonly pinnedRank?: number | undefined;
  /** The only instances that may be chosen; all when undefined. */
  readonly allowed?: ReadonlySet<InstanceId> | undefined;
  /** Settings of the cost for this request. */
  readonly overrides?: RouterConfigOverride | undefined;
  /** Seconds by which it is moved forward in the queue. @default 0 */
  readonly priorityJump?: number | undefined;
  /** Beats any other order in the queue. @default 0 */
  readonly strictPriority?: number | undefined;
  /** How long the client expects the answer to be. */
  readonly expectedOutputTokens?: number | undefined;
  /** Its model, where several share a router: its queue and its sessions are those of the model. */
  readonly model?: string | undefined;
  /** Requests of one session go to one instance while affinity is on. */
  readonly sessionId?: string | undefined;
  /** Family or name of the queue class. */
  readonly policyClass?: string | undefined;
  readonly requiredTaints?: readonly string[] | undefined;
  readonly preferredTaints?: readonly PreferredTaint[] | undefined;
}

/** What a router needs to know to place a request. */
export interface PlacementRequest extends PlacementWishes {
  /** Names the booking; unique per dispatched request. Routing it again replaces its booking. */
  readonly bookingId: string;
  /** Local hashes of the prompt's complete blocks. */
  readonly blockHashes: BigUint64Array;
  readonly blockSize: number;
  readonly promptTokens: number;
  /** Instances that must not be chosen: they failed this request. */
  readonly excluded: ReadonlySet<InstanceId>;
  /** The only instance that may be chosen. */
  readonly pinned?: InstanceId | undefined;
  /** Overrides the router's mode. */
  readonly mode?: RouterMode | undefined;
  /** Whoever books: when it is gone, all its bookings can be given back together. */
  readonly owner?: object | undefined;
  /** Answers without booking. @default false */
  readonly advisory?: boolean | undefined;
  /** Taken when it can be, whatever it costs: the instance that the request's session is bound to. */
  readonly preferred?: PreferredInstance | undefined;
  /** Trace of the request, for the record of the decision. */
  readonly traceId?: string | undefined;
  /** How long the router hashed the prompt; absent when it came hashed. */
  readonly hashingMs?: number | undefined;
}

/** An instance, and one of its ranks or any. */
export interface PreferredInstance {
  readonly instanceId: InstanceId;
  readonly dpRank?: number | undefined;
}

/**
 * Settings of the cost for one request; absent ones are the router's own (RP 4.12).
 */
export interface RouterConfigOverride {
  readonly overlapScoreCredit?: number | undefined;
  readonly prefillLoadScale?: number | undefined;
  /** Deprecated name of the prefill load scale; 0 also takes the overlap's credit away. */
  readonly overlapScoreWeight?: number | undefined;
  readonly routerTemperature?: number | undefined;
  readonly assumeKvReuse?: boolean | undefined;
  readonly trackPrefillTokens?: boolean | undefined;
  readonly displacementWeight?: number | undefined;
}

/** An instance that has the taint costs less, or more for a negative weight. */
export interface PreferredTaint {
  readonly taint: string;
  readonly weight: number;
}

/** What became of a request, for the record of its decision; absent fields are unknown. */
export interface RequestOutcome {
  readonly kind: 'completed' | 'cancelled' | 'failed';
  /** Prompt tokens that the engine says it had in cache. */
  readonly cachedTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  /** From the choice of the instance to its first token. */
  readonly ttftMs?: number | undefined;
  /** Mean time between two tokens. */
  readonly itlMs?: number | undefined;
  readonly errorCode?: string | undefined;
}

/** A router's choice. */
export interface Placement {
  readonly instanceId: InstanceId;
  /** Data-parallel rank; undefined when the instance is to choose. */
  readonly dpRank?: number | undefined;
  /** Blocks of the prompt that the instance holds already, by tier weight. */
  readonly overlapBlocks: number;
  /** Prompt tokens that need no prefill there. */
  readonly cachedTokens: number;
  /** Names the recorded decision; undefined when it is not recorded. */
  readonly decisionId?: string | undefined;
  /** Time in the router's queue. */
  readonly queuedMs: number;
  /** Why this one, for logs. */
  readonly reason: string;
}

/** Chooses instances and keeps book of what runs where; in process or a service. */
export interface PlacementRouter extends AsyncDisposable {
  /**
   * Picks an instance and books the request on it.
   *
   * @throws `backend.unavailable` when there is none, `capacity.pool_exhausted` when all are overloaded, or the reason
   * of a killed context
   */
  route(request: PlacementRequest, context: Context): Promise<Placement>;
  /** First token seen: the prompt's work is done. Never waits; unknown ids are ignored. */
  prefillDone(bookingId: string): void;
  /** Output has filled one more block. Never waits; unknown ids are ignored. */
  outputBlock(bookingId: string): void;
  /** The request ended, however it ended. Never waits; idempotent. */
  free(bookingId: string, outcome?: RequestOutcome): void;
  /** Idempotent. */
  close(): Promise<void>;
}
