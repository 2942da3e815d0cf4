/**
 * Placement by cached prefixes and load for one endpoint, in this process (RP 4.8).
 *
 * Session and queue decide when a request is placed and what may be chosen; the choice itself, its booking and its record
 * are one call of the native core. The index behind it is fed from the workers' events. All other router modes go the
 * same way, so that load, bookings and decisions are the same in all of them.
 */
import { TaskGroup, instanceIdHex, raceAbort, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions, InstanceId } from '@dynamo-ts/base';
import type { Occupancy, PromptQuery, RankLoads, RankOverlaps } from '@dynamo-ts/kv';
import type { Decision } from '@dynamo-ts/protocol';
import type { Context } from '@dynamo-ts/runtime';

import type {
  Placement,
  PlacementRequest,
  PlacementRouter,
  RequestOutcome,
} from '../placement-router.ts';
import type {
  BusyRanks,
  LoadSharing,
  PlacementHost,
  PrefillBusy,
  QueuedFor,
  RankLoad,
  RequestQueue,
  SessionBindings,
} from './collaborators.ts';
import { BookedRequests } from './booked-requests.ts';
import { DecisionLog } from './decisions/decision-log.ts';
import type { DecisionListener } from './decisions/decision-log.ts';
import { IndexGauges } from './health/index-gauges.ts';
import { indexReport } from './health/index-health.ts';
import type { IndexReport } from './health/index-health.ts';
import { KvRouterMeter } from './kv-router-meter.ts';
import { closeParts, openParts } from './kv-router-parts.ts';
import type { KvRouterOptions, KvRouterParts } from './kv-router-parts.ts';
import { Placer } from './placer.ts';
import { Readiness } from './readiness.ts';
import { placeInSession } from './session-placement.ts';
import { WorkerFacts } from './fleet/worker-facts.ts';
import { WorkerRoster } from './fleet/worker-roster.ts';
import type { AskWorker } from './feed/worker-kv-query.ts';
import type { AddedWorker, RosterChange } from './fleet/worker-roster.ts';

/** In-process {@link PlacementRouter} that knows what is cached where. */
export class KvRouter implements PlacementRouter, PlacementHost {
  /** Tokens per block. */
  readonly blockSize: number;
  readonly #options: KvRouterOptions;
  readonly #parts: KvRouterParts;
  readonly #facts: WorkerFacts;
  readonly #roster: WorkerRoster;
  readonly #placer: Placer;
  readonly #booked: BookedRequests;
  readonly #readiness: Readiness;
  readonly #decisions: DecisionLog;
  readonly #meter: KvRouterMeter | undefined;
  readonly #gauges: IndexGauges | undefined;
  readonly #queue: RequestQueue | undefined;
  readonly #affinity: SessionBindings | undefined;
  readonly #sharing: LoadSharing | undefined;
  readonly #busy: BusyRanks | undefined;
  readonly #tasks: TaskGroup;
  #closing: Promise<void> | undefined;

  private constructor(options: KvRouterOptions, parts: KvRouterParts) {
    const { runtime, path, blockSize, logger, metrics } = options;
    const { core, client, clock, settings } = parts;
    const capacityChanged = (): void => this.#queue?.capacityChanged();
    this.blockSize = blockSize;
    this.#options = options;
    this.#parts = parts;
    this.#readiness = new Readiness(() => this.#isReady());
    this.#meter = metrics && new KvRouterMeter(metrics, path, runtime.instanceId);
    const routerId = instanceIdHex(runtime.instanceId);
    const countsAlike = (id: InstanceId): boolean => this.#roster.countsAlike(id);
    this.#gauges =
      metrics && new IndexGauges({ core, registry: metrics, path, routerId, clock, countsAlike });
    const { discovery } = runtime;
    const onFact = (id: InstanceId): void => this.#roster.refresh(id);
    this.#facts = new WorkerFacts({ path, discovery, blockSize, logger, onChange: onFact });
    this.#roster = new WorkerRoster({
      core,
      instances: client,
      factOf: (id) => this.#facts.get(id),
      feed: parts.feed,
      onChange: (change) => this.#onRoster(change),
    });
    const seat = {
      core,
      host: this,
      facts: this.#roster,
      path,
      blockSize,
      settings,
      capacityChanged,
    };
    this.#busy = options.createBusy?.(seat);
    const { mode = 'kv' } = options;
    const roster = this.#roster;
    const busy = this.#busy;
    this.#placer = new Placer({ core, roster, instances: client, blockSize, mode, busy, clock });
    this.#sharing = options.createSharing?.(seat);
    this.#affinity = options.createAffinity?.(seat);
    this.#queue = options.createQueue?.(seat);
    const onDropped = (count: number): void => this.#meter?.decisionsDropped(count);
    const file = options.decisionFile;
    this.#decisions = new DecisionLog({ core, file, logger, clock, onDropped });
    this.#booked = new BookedRequests({
      core,
      clock,
      settings,
      roster,
      decisions: this.#decisions,
      meter: this.#meter,
      gauges: this.#gauges,
      affinity: this.#affinity,
      sharing: this.#sharing,
      capacityChanged,
    });
    this.#tasks = new TaskGroup({
      name: 'kv router',
      onError: (error, task) => logger.error('router task failed', { task, error }),
    });
  }

  /** A router that knows the workers that there are; their caches come in the background, see {@link ready}. */
  static async connect(options: KvRouterOptions): Promise<KvRouter> {
    let onProgress = (): void => undefined;
    const parts = await openParts(options, () => onProgress());
    const router = new KvRouter(options, parts);
    onProgress = () => router.#readiness.changed();
    try {
      await router.#start();
      return router;
    } catch (error) {
      await router.close();
      throw error;
    }
  }

  /** Bookings that have not been given back. */
  get activeRequests(): number {
    return this.#booked.size;
  }

  /** Ranks whose part of the index has been restored, or whose worker was asked once in vain, and all. */
  get restored(): { readonly done: number; readonly total: number } {
    return this.#parts.feed?.progress ?? { done: 0, total: 0 };
  }

  /** Resolves when enough workers are there and those that there are have been restored. */
  async ready(options?: AbortOptions): Promise<void> {
    await this.#readiness.wait(options);
  }

  async route(request: PlacementRequest, context: Context): Promise<Placement> {
    throwIfAborted(context.stopped);
    const { clock } = this.#parts;
    const startMs = clock.monotonicMs();
    const traced = { ...request, traceId: request.traceId ?? context.trace?.traceId };
    const schedule = (each: PlacementRequest) => this.#schedule(each, context);
    const placement =
      this.#affinity === undefined
        ? await schedule(traced)
        : await placeInSession(this.#affinity, traced, schedule);
    this.#meter?.routed(clock.monotonicMs() - startMs - placement.queuedMs);
    return placement;
  }

  place(request: PlacementRequest, queued: QueuedFor): Placement {
    const { clock } = this.#parts;
    const startMs = clock.monotonicMs();
    const selected = this.#placer.select(request, queued);
    this.#meter?.chosen(request, selected, clock.monotonicMs() - startMs);
    if (request.advisory !== true) this.#booked.booked(request, selected);
    const { workerId, decisionId } = selected;
    if (decisionId !== '') this.#decisions.made(decisionId);
    return {
      instanceId: workerId,
      dpRank: selected.dpRank,
      overlapBlocks: selected.overlapBlocks,
      cachedTokens: selected.cachedTokens,
      decisionId: decisionId === '' ? undefined : decisionId,
      queuedMs: queued.queuedMs,
      reason: selected.reason,
    };
  }

  bestCachedTokens(request: PlacementRequest): number {
    return this.#placer.bestCachedTokens(request);
  }

  occupancy(request: PlacementRequest, busy: PrefillBusy): Occupancy {
    return this.#placer.occupancy(request, busy);
  }

  get workers(): number {
    return this.#roster.size;
  }

  /** Load and limits of all ranks. */
  ranks(): readonly RankLoad[] {
    return this.#placer.ranks();
  }

  prefillDone(bookingId: string): void {
    this.#booked.prefillDone(bookingId);
  }

  outputBlock(bookingId: string): void {
    this.#booked.outputBlock(bookingId);
  }

  free(bookingId: string, outcome?: RequestOutcome): void {
    this.#booked.free(bookingId, outcome);
  }

  /** Gives back what an owner that is gone has booked. */
  freeOwned(owner: object): void {
    this.#booked.freeOwned(owner);
  }

  /** How much of a prompt each rank holds. */
  overlap(prompt: PromptQuery): RankOverlaps {
    return this.#parts.core.overlap(prompt);
  }

  /** What each rank would have to do if a request came to it. */
  potentialLoads(prompt: PromptQuery & { readonly promptTokens: number }): RankLoads {
    return this.#parts.core.potentialLoads(prompt);
  }

  /** Requests that wait. */
  queueStats(): { readonly pendingCount: number; readonly pendingIslTokens: number } {
    let pendingCount = 0;
    let pendingIslTokens = 0;
    for (const each of this.#queue?.stats() ?? []) {
      pendingCount += each.pendingCount;
      pendingIslTokens += each.pendingIslTokens;
    }
    return { pendingCount, pendingIslTokens };
  }

  /** What the index holds and how far it can be trusted. */
  indexHealth(): IndexReport {
    const { core, clock } = this.#parts;
    return indexReport(core, clock.monotonicMs(), (id) => this.#roster.countsAlike(id));
  }

  /** Content of the index, read off the event loop: an encoded `QueryIndexResponse`. */
  readIndex(workerId?: InstanceId): Promise<Uint8Array> {
    return this.#parts.core.readIndex(workerId);
  }

  /** A recorded decision; undefined when it is not known (any more). */
  decision(decisionId: string): Decision | undefined {
    return this.#decisions.get(decisionId);
  }

  /** The latest decisions, newest first. */
  recentDecisions(limit: number): readonly Decision[] {
    return this.#decisions.recent(limit);
  }

  /** Follows decisions from now on, when they are made or when their requests have ended. @returns an unsubscribe */
  onDecision(
    listener: DecisionListener,
    options: { readonly immediately?: boolean } = {},
  ): () => void {
    return this.#decisions.onDecision(listener, options);
  }

  /**
   * Adds an engine that registers nowhere, or replaces it. `ask` answers for what was missed of its events; without it the
   * whole cache must be sent again after a gap.
   */
  addWorker(worker: AddedWorker, ask?: AskWorker): void {
    this.#roster.addExternal(worker, ask);
  }

  /** Workers that must not take a request, see `WorkerRoster.foreign`. */
  foreign(model: string | undefined, isOnlyRouter: boolean): readonly InstanceId[] {
    return this.#roster.foreign(model, isOnlyRouter);
  }

  /** Whether a worker registered itself. */
  isDiscovered(workerId: InstanceId): boolean {
    return this.#roster.isDiscovered(workerId);
  }

  /** Takes an added engine out. Idempotent. */
  removeWorker(workerId: InstanceId): void {
    this.#roster.removeExternal(workerId);
  }

  /** Applies an encoded `KvEventBatch` of an added engine. */
  applyEvents(payload: Uint8Array): void {
    const { core, clock, feed } = this.#parts;
    const { recoveries } = core.applyEvents(payload, clock.monotonicMs());
    for (const recovery of recoveries) feed?.want(recovery);
  }

  /** Ends its bookings and lets go of everything. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    this.#tasks.start('follow model cards', (signal) => this.#facts.follow(signal));
    this.#tasks.start('expiry', (signal) => this.#booked.expire(signal));
    await raceAbort(this.#facts.ready(), this.#options.runtime.signal);
    this.#roster.start();
    this.#decisions.start();
  }

  async #schedule(request: PlacementRequest, context: Context): Promise<Placement> {
    if (this.#queue === undefined || request.advisory === true)
      return this.place(request, { queuedMs: 0 });
    return this.#queue.schedule(request, context);
  }

  #onRoster(change: RosterChange): void {
    if (change.kind === 'gone') {
      this.#booked.forgotten(change.bookings, 'freed');
      this.#affinity?.instanceGone(change.workerId);
      this.#busy?.instanceGone(change.workerId);
    }
    this.#queue?.capacityChanged();
    this.#readiness.changed();
  }

  #isReady(): boolean {
    const { done, total } = this.restored;
    return done === total && this.#roster.described >= this.#parts.settings.minInitialWorkers;
  }

  async #close(): Promise<void> {
    this.#booked.close();
    this.#roster.close();
    await this.#queue?.[Symbol.asyncDispose]();
    await this.#tasks.close();
    await this.#decisions.close();
    await this.#affinity?.[Symbol.asyncDispose]();
    await this.#sharing?.[Symbol.asyncDispose]();
    await this.#busy?.[Symbol.asyncDispose]();
    this.#gauges?.close();
    await closeParts(this.#parts);
  }
}
