/**
 * Requests wait here while every rank that may take them has enough prompts to compute (RP 4.6).
 *
 * A request is placed at once unless its class queues and either others of its class wait already or the ranks that may
 * take it are busy. Whenever there may be room, waiting ones are placed in the order of their class, classes taking
 * turns by quantum. Busy thresholds refuse at the door only: who is inside waits. A wait ends with a place, with the
 * request's context, or with `capacity.queue_timeout`; whichever comes first takes the entry out at once.
 */
import {
  DynamoError,
  TaskGroup,
  abortError,
  onAbort,
  systemClock,
  throwIfAborted,
} from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { Context } from '@dynamo-ts/runtime';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { Placement, PlacementRequest } from '../placement-router.ts';
import { ClassResolver } from './class-resolver.ts';
import { DrainGate } from './drain-gate.ts';
import { DrainRate } from './drain-rate.ts';
import { conditionsKey, isHeldUp } from './eligibility.ts';
import { FairQueue } from './fair-queue.ts';
import type { PlacementHost, RequestQueue } from '../kv/collaborators.ts';
import { isQueueing } from './policy-profile.ts';
import type { PolicyProfile } from './policy-profile.ts';
import type { QueueEntry } from './queue-entry.ts';
import { queueScore } from './queue-key.ts';
import { QueueMeter } from './queue-meter.ts';
import { WaitingClass } from './waiting-class.ts';
import type { QueueStats } from './waiting-class.ts';

/** Settings of a {@link SchedulerQueue}. */
export interface SchedulerQueueOptions {
  readonly host: PlacementHost;
  readonly profile: PolicyProfile;
  /** Label of the metrics. */
  readonly model: string;
  /** Label of the metrics. @default 'decode' */
  readonly workerType?: string | undefined;
  /** Longest wait in milliseconds (`DYN_ROUTER_QUEUE_TIMEOUT_SECS`); 0 = as long as the request's context. @default 60 s */
  readonly maxWaitMs?: number | undefined;
  /** Most waiting requests of all classes. @default 65,536 */
  readonly capacity?: number | undefined;
  /** Age in milliseconds at which a look at the caches is repeated (`DYN_ROUTER_OVERLAP_REFRESH_AFTER_SECS`); 0 = never. @default 10 s */
  readonly refreshAfterMs?: number | undefined;
  /** Who shares a class's turns evenly, for example by tenant. @default all are one */
  readonly flowOf?: ((request: PlacementRequest) => string) | undefined;
  readonly clock?: Clock | undefined;
  readonly metrics?: MetricsRegistry | undefined;
  readonly logger: Logger;
}

const DEFAULT_MAX_WAIT_MS = 60_000;
const DEFAULT_CAPACITY = 65_536;
const DEFAULT_REFRESH_AFTER_MS = 10_000;

/** Capacity may come back without anybody saying so. */
const RECONCILE_MS = 1000;

/** Placing more at a time would hold up the streams of this process. */
const MOST_PER_DRAIN = 128;

/** The router's queue. */
export class SchedulerQueue implements RequestQueue {
  readonly #options: SchedulerQueueOptions;
  readonly #host: PlacementHost;
  readonly #clock: Clock;
  readonly #classes: ReadonlyMap<string, WaitingClass>;
  readonly #isQueueing: boolean;
  readonly #resolver: ClassResolver;
  readonly #queue = new FairQueue();
  /** In the order of arrival, so that the one that has waited longest is first. */
  readonly #waiting = new Set<QueueEntry>();
  readonly #rate = new DrainRate();
  readonly #meter: QueueMeter | undefined;
  readonly #tasks: TaskGroup;
  readonly #startedAtMs: number;
  #sequence = 0;
  #isDrainDue = false;
  #isLookingAfter = false;

  constructor(options: SchedulerQueueOptions) {
    this.#options = options;
    this.#host = options.host;
    this.#clock = options.clock ?? systemClock;
    const classes = options.profile.classes.map((each) => new WaitingClass(each));
    this.#classes = new Map(classes.map((each) => [each.policyClass.name, each]));
    this.#isQueueing = options.profile.classes.some(isQueueing);
    this.#resolver = new ClassResolver(options.profile);
    this.#startedAtMs = this.#clock.monotonicMs();
    const { metrics, model, workerType = 'decode' } = options;
    if (this.#isQueueing && metrics !== undefined)
      this.#meter = new QueueMeter({ metrics, model, workerType, classes });
    this.#tasks = new TaskGroup({
      name: 'router queue',
      onError: (error, task) => {
        options.logger.error('the queue stopped looking after its waiting requests', {
          task,
          error,
        });
      },
    });
  }

  /** Requests that wait, in all classes. */
  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Places the request at once or when its turn comes.
   *
   * @throws what the host throws; `capacity.queue_full` at a limit, `capacity.queue_timeout` after the longest wait, the
   * reason of a stopped context, `runtime.closed`
   */
  async schedule(request: PlacementRequest, context: Context): Promise<Placement> {
    throwIfAborted(context.stopped);
    if (!this.#isQueueing || request.advisory === true)
      return this.#host.place(request, { queuedMs: 0 });
    const waitingClass = this.#classOf(request);
    const isHeld = this.#isHeld(request, waitingClass);
    if (isHeld === undefined || (!isHeld && waitingClass.size === 0))
      return this.#host.place(request, { queuedMs: 0, policyClass: waitingClass.policyClass.name });
    this.#throwIfFull(waitingClass);
    const placing = new Promise<Placement>((resolve, reject) => {
      this.#enter(request, waitingClass, context, { resolve, reject });
    });
    // There is room, but others are before it.
    if (!isHeld) this.#drain();
    return placing;
  }

  /** There may be room now. Cheap; many calls in one turn of the event loop are one. */
  capacityChanged(): void {
    if (this.#waiting.size === 0 || this.#isDrainDue) return;
    this.#isDrainDue = true;
    queueMicrotask(() => {
      this.#isDrainDue = false;
      this.#drain();
    });
  }

  /** What waits, by class. */
  stats(): readonly QueueStats[] {
    return [...this.#classes.values()].map(({ stats }) => stats);
  }

  /** Refuses what waits. Idempotent. */
  async close(): Promise<void> {
    for (const entry of [...this.#waiting]) {
      this.#leave(entry);
      entry.settle.reject(new DynamoError('runtime.closed', 'the router is shutting down; retry'));
    }
    await this.#tasks.close();
    this.#meter?.[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #classOf(request: PlacementRequest): WaitingClass {
    const { policyClass, isKnown } = this.#resolver.resolve(
      request.policyClass,
      () => request.promptTokens - this.#host.bestCachedTokens(request),
    );
    if (!isKnown) this.#meter?.unknownClass();
    const waitingClass = this.#classes.get(policyClass.name);
    if (waitingClass === undefined) throw new TypeError(`no queue for class ${policyClass.name}`);
    return waitingClass;
  }

  /** Whether there is no room for it; undefined when it does not wait, whatever there is. */
  #isHeld(request: PlacementRequest, { policyClass }: WaitingClass): boolean | undefined {
    if (!isQueueing(policyClass)) return undefined;
    const occupancy = this.#host.occupancy(request, policyClass);
    // Nobody may take it, or nobody has room by the busy thresholds: placing it says so.
    if (occupancy.overloaded === occupancy.eligible) return undefined;
    return isHeldUp(occupancy, policyClass);
  }

  #throwIfFull(waitingClass: WaitingClass): void {
    const retryAfterSeconds = this.#retryAfterSeconds();
    const { policyClass } = waitingClass;
    const limit = waitingClass.reachedLimit(this.#host.workers);
    if (limit !== undefined) {
      this.#meter?.rejected(policyClass.name, limit);
      throw waitingClass.refusal(limit, retryAfterSeconds);
    }
    const { capacity = DEFAULT_CAPACITY } = this.#options;
    if (this.#waiting.size < capacity) return;
    this.#meter?.rejected(policyClass.name, 'capacity');
    throw new DynamoError('capacity.queue_full', `${capacity} requests wait already; retry later`, {
      details: { retry_after_seconds: retryAfterSeconds },
    });
  }

  #retryAfterSeconds(): number {
    return this.#rate.retryAfterSeconds(this.#waiting.size, this.#clock.monotonicMs());
  }

  #enter(
    request: PlacementRequest,
    waitingClass: WaitingClass,
    context: Context,
    settle: QueueEntry['settle'],
  ): void {
    const nowMs = this.#clock.monotonicMs();
    const { name } = waitingClass.policyClass;
    const flow = this.#options.flowOf?.(request);
    const entry: QueueEntry = {
      request,
      waitingClass,
      flowKey: flow === undefined ? name : `${name}/${flow}`,
      laneKey: conditionsKey(request),
      arrivedAtMs: nowMs,
      key: { strictPriority: request.strictPriority ?? 0, score: 0, sequence: this.#sequence++ },
      cachedTokens: this.#host.bestCachedTokens(request),
      estimatedAtMs: nowMs,
      heapIndex: -1,
      offStop: onAbort(context.stopped, () => {
        this.#leave(entry);
        this.#meter?.rejected(name, 'cancelled');
        settle.reject(abortError(context.stopped));
      }),
      settle,
    };
    entry.key = { ...entry.key, score: this.#score(entry) };
    if (this.#waiting.size === 0) this.#rate.began(nowMs);
    waitingClass.entered(entry);
    this.#queue.push(entry);
    this.#waiting.add(entry);
    this.#lookAfter();
  }

  #score(entry: QueueEntry): number {
    const { request, waitingClass, arrivedAtMs, cachedTokens } = entry;
    return queueScore(waitingClass.policyClass.queuePolicy, {
      arrivalSeconds: (arrivedAtMs - this.#startedAtMs) / 1000,
      priorityJump: request.priorityJump ?? 0,
      uncachedTokens: request.promptTokens - cachedTokens,
    });
  }

  /** Takes the entry out; whoever does that settles it. */
  #leave(entry: QueueEntry): void {
    if (!this.#waiting.delete(entry)) return;
    entry.offStop();
    this.#queue.remove(entry);
    entry.waitingClass.left(entry);
  }

  /** Places what may go now. */
  #drain(): void {
    const gate = new DrainGate(this.#host, (entry) => this.#refresh(entry));
    for (let placed = 0; placed < MOST_PER_DRAIN; placed++) {
      const entry = this.#queue.take(gate);
      if (entry === undefined) return;
      this.#leave(entry);
      this.#place(entry);
      gate.placed();
    }
    setImmediate(() => {
      this.capacityChanged();
    });
  }

  #place(entry: QueueEntry): void {
    const nowMs = this.#clock.monotonicMs();
    const queuedMs = nowMs - entry.arrivedAtMs;
    const policyClass = entry.waitingClass.policyClass.name;
    try {
      const placement = this.#host.place(entry.request, { queuedMs, policyClass });
      this.#rate.placed(nowMs);
      this.#meter?.placed(policyClass, queuedMs);
      entry.settle.resolve(placement);
    } catch (error) {
      entry.settle.reject(error);
    }
  }

  #refresh(entry: QueueEntry): boolean {
    const { refreshAfterMs = DEFAULT_REFRESH_AFTER_MS } = this.#options;
    const nowMs = this.#clock.monotonicMs();
    if (refreshAfterMs <= 0 || nowMs - entry.estimatedAtMs <= refreshAfterMs) return false;
    entry.estimatedAtMs = nowMs;
    entry.waitingClass.reestimated(entry, this.#host.bestCachedTokens(entry.request));
    entry.key = { ...entry.key, score: this.#score(entry) };
    return true;
  }

  /** Runs while somebody waits: ends waits that take too long, and looks for room that nobody told of. */
  #lookAfter(): void {
    if (this.#isLookingAfter || this.#tasks.signal.aborted) return;
    this.#isLookingAfter = true;
    this.#tasks.start('look after', async (signal) => {
      try {
        while (this.#waiting.size > 0) {
          await this.#clock.sleep(this.#untilNextLook(), { signal });
          this.#expire();
          this.#drain();
        }
      } finally {
        this.#isLookingAfter = false;
      }
    });
  }

  #untilNextLook(): number {
    const { maxWaitMs = DEFAULT_MAX_WAIT_MS } = this.#options;
    const [oldest] = this.#waiting;
    if (oldest === undefined || maxWaitMs <= 0) return RECONCILE_MS;
    const leftMs = oldest.arrivedAtMs + maxWaitMs - this.#clock.monotonicMs();
    return Math.min(RECONCILE_MS, Math.max(0, leftMs));
  }

  #expire(): void {
    const { maxWaitMs = DEFAULT_MAX_WAIT_MS } = this.#options;
    if (maxWaitMs <= 0) return;
    const newest = this.#clock.monotonicMs() - maxWaitMs;
    for (const entry of this.#waiting) {
      if (entry.arrivedAtMs > newest) return;
      this.#leave(entry);
      this.#meter?.rejected(entry.waitingClass.policyClass.name, 'timeout');
      entry.settle.reject(
        new DynamoError(
          'capacity.queue_timeout',
          `no worker had room within ${maxWaitMs / 1000} s (DYN_ROUTER_QUEUE_TIMEOUT_SECS); retry later`,
          { details: { retry_after_seconds: this.#retryAfterSeconds() } },
        ),
      );
    }
  }
}
