import type { InstanceId } from '@dynamo-ts/base';
import type { Context } from '@dynamo-ts/runtime';

import type { RouterMode } from './router-mode.ts';

/** What a router needs to know to place a request. */
export interface PlacementRequest {
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
}

/** A router's choice. */
export interface Placement {
  readonly instanceId: InstanceId;
  readonly dpRank: number;
  /** Blocks of the prompt that the instance holds already. */
  readonly overlapBlocks: number;
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
  /** The request ended, however it ended. Never waits; idempotent. */
  free(bookingId: string): void;
  /** Idempotent. */
  close(): Promise<void>;
}
