/** The addon's `NativePlacement` in this library's types: instance ids are branded, absent values may be undefined. */
import * as native from '@dynamo-ts/native';
import type { InstanceId } from '@dynamo-ts/base';

import type {
  BookingOutcome,
  BusyAbove,
  CostSettings,
  DrainedDecisions,
  FeedResult,
  FreedBooking,
  IndexHealth,
  NotSelected,
  Occupancy,
  PlacementCoreOptions,
  PresentLoads,
  PromptQuery,
  RankConditions,
  RankLoads,
  RankOverlaps,
  Recovery,
  RemoteBooking,
  SelectRequest,
  Selected,
  WorkerEntry,
} from './placement-types.ts';

/** What the addon offers. */
export interface PlacementAddon {
  setWorker(worker: WorkerEntry): void;
  removeWorker(workerId: InstanceId): string[];
  retireWorker(workerId: InstanceId): void;
  setOverloaded(workerId: InstanceId, dpRank: number, overloaded: boolean): void;
  select(request: SelectRequest): Selected | NotSelected;
  overlap(prompt: PromptQuery): RankOverlaps;
  potentialLoads(prompt: PromptQuery & { readonly promptTokens: number }): RankLoads;
  loads(): PresentLoads;
  occupancy(conditions: RankConditions, above: BusyAbove): Occupancy;
  bestOverlap(prompt: PromptQuery, conditions: RankConditions): number;
  prefillDone(bookingId: string, nowMs: number): boolean;
  outputBlock(bookingId: string, nowMs: number): boolean;
  free(bookingId: string, outcome: BookingOutcome | undefined): FreedBooking | undefined | null;
  expire(nowMs: number): string[];
  addRemote(booking: RemoteBooking): boolean;
  applyEvents(payload: Uint8Array, nowMs: number): FeedResult;
  finishRecovery(
    workerId: InstanceId,
    dpRank: number,
    items: readonly Uint8Array[],
    nowMs: number,
  ): Promise<FeedResult>;
  failRecovery(workerId: InstanceId, dpRank: number, nowMs: number): FeedResult;
  recoveriesDue(nowMs: number): Recovery[];
  restoreNeeded(workerId: InstanceId, dpRank: number): void;
  health(nowMs: number): IndexHealth;
  readIndex(workerId?: InstanceId): Promise<Uint8Array>;
  decision(decisionId: string): Uint8Array | undefined | null;
  recentDecisions(limit: number): Uint8Array[];
  drainDecisions(limit: number): Promise<DrainedDecisions>;
  memoryBytes(): number;
  close(): void;
}

type Addon = new (options: PlacementCoreOptions) => PlacementAddon;

/**
 * Tokens of work that a running request counts as beside its blocks, which it may share with many: without it a long
 * prompt that all requests begin with keeps them on the few workers that have it.
 */
const ACTIVE_REQUEST_TOKENS = 384;

/** Makes one. @throws with the code `config.invalid` */
export function createPlacementAddon(options: PlacementCoreOptions): PlacementAddon {
  // The generated declarations know no branded ids and take undefined for absent without saying so.
  const { NativePlacement } = native as unknown as { readonly NativePlacement: Addon };
  return new NativePlacement({ ...options, cost: costSettings(options) });
}

function costSettings({ cost, blockSize }: PlacementCoreOptions): CostSettings {
  const weight = cost.decodeActiveRequestWeight ?? ACTIVE_REQUEST_TOKENS / blockSize;
  return { ...cost, decodeActiveRequestWeight: weight };
}
