/**
 * Keeps ranks that are over the busy thresholds of their models out of selection (RF 2.3).
 *
 * Two accounts of a rank's load count, and either makes it busy, so that it is free again only when both are below: what
 * the rank itself reported, and what routers have booked on it. A report that is older than the limit does not count: a
 * worker that fell silent while it was busy, and the last one at that, must not stay shut out.
 */
import { TaskGroup, asInstanceId, systemClock } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import type { EndpointPath } from '@dynamo-ts/protocol';
import { LOAD_METRICS_TOPIC } from '@dynamo-ts/protocol';
import type { EventPlane } from '@dynamo-ts/runtime';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { BusyRanks } from '../kv/collaborators.ts';
import type { BusyThresholds } from './busy-thresholds.ts';
import { BUSY_METRICS } from './metrics.ts';
import { exceeds } from './rank-pressure.ts';
import type { RankLimits } from './rank-pressure.ts';
import { ReportedLoads } from './reported-loads.ts';
import type { ReportedLoad } from './reported-loads.ts';
import { WorkerThresholds } from './worker-thresholds.ts';

/** Where bookings are counted and busy ranks are kept out; a `PlacementCore` is one. */
export interface BusyCore {
  /** Load of every rank by its bookings; arrays of the same length. */
  loads(): {
    readonly workerIds: BigUint64Array;
    readonly dpRanks: Uint32Array;
    readonly prefillTokens: Float64Array;
    readonly decodeBlocks: Float64Array;
    /** 0 where it is not known. */
    readonly totalKvBlocks: Float64Array;
    /** 0 where it is not known. */
    readonly maxBatchedTokens: Float64Array;
  };
  setOverloaded(workerId: InstanceId, dpRank: number, overloaded: boolean): void;
}

/** Settings of a {@link BusyMonitor}. */
export interface BusyMonitorOptions {
  readonly thresholds: BusyThresholds;
  /** Models of all workers, for the metrics. */
  readonly models: () => Iterable<string>;
  /** Models that a worker serves: their thresholds apply. The same array until they change. */
  readonly modelsOf: (instanceId: InstanceId) => readonly string[];
  /** What is known of a worker's limits. */
  readonly limitsOf: (instanceId: InstanceId) => RankLimits | undefined;
  /** Undefined where nothing is booked by blocks: reports alone count. */
  readonly core?: BusyCore | undefined;
  /** Endpoint of the workers. */
  readonly path: EndpointPath;
  readonly events: EventPlane;
  /** A rank became busy or free. */
  readonly onChange?: (() => void) | undefined;
  /** Age in milliseconds at which a report does not count any more. @default 30 s */
  readonly maxReportAgeMs?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly metrics?: MetricsRegistry | undefined;
  readonly logger: Logger;
}

/** A rank that is busy. */
interface BusyRank {
  readonly instanceId: InstanceId;
  readonly dpRank: number;
}

const MAX_REPORT_AGE_MS = 30_000;

/** Bookings within so short a time are looked at together. */
const MIN_INTERVAL_MS = 2;

/** How often ages are looked at while nothing is routed. */
const IDLE_INTERVAL_MS = 1000;

/** Watches the ranks of one endpoint. */
export class BusyMonitor implements BusyRanks {
  readonly #options: BusyMonitorOptions;
  readonly #clock: Clock;
  readonly #thresholds: WorkerThresholds;
  readonly #reported: ReportedLoads;
  readonly #busy = new Map<string, BusyRank>();
  /** Busy ranks by model as the gauge shows them. */
  #shown = new Map<string, number>();
  readonly #tasks: TaskGroup;
  #offCollect: () => void = () => undefined;
  #lookedAtMs = -Infinity;
  #seenVersion = -1;

  constructor(options: BusyMonitorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#thresholds = new WorkerThresholds(options.thresholds, options.modelsOf);
    this.#reported = new ReportedLoads(this.#clock);
    this.#tasks = new TaskGroup({
      name: 'busy monitor',
      onError: (error, task) => {
        options.logger.error('loads of workers are not followed any more', { task, error });
      },
    });
  }

  /** Begins to listen to the workers. */
  start(): void {
    const { path, events, metrics } = this.#options;
    const { namespace, component } = path;
    this.#tasks.start('loads', async (signal) => {
      const topic = { scope: { namespace, component }, topic: LOAD_METRICS_TOPIC };
      for await (const { payload } of events.subscribe(topic, { signal })) this.accept(payload);
    });
    this.#tasks.start('ages', async (signal) => {
      for (;;) {
        await this.#clock.sleep(IDLE_INTERVAL_MS, { signal });
        if (this.#busy.size > 0) this.refresh();
      }
    });
    this.#offCollect = metrics?.onCollect(() => this.#show(this.#byModel())) ?? this.#offCollect;
  }

  /** Takes the payload of a `load_metrics` event. */
  accept(payload: Uint8Array): void {
    const reported = this.#reported.accept(payload);
    if (reported === undefined) return;
    const rank = { instanceId: reported.instanceId, dpRank: reported.load.dpRank };
    if (this.#isOver(reported) === this.#busy.has(keyOf(rank))) return;
    this.#lookedAtMs = -Infinity;
    this.refresh();
  }

  /** Brings everything up to date; called right before a choice. Costs nothing without thresholds. */
  refresh(): void {
    const { areSet, version } = this.#thresholds;
    if (!areSet && this.#busy.size === 0) return;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#lookedAtMs < MIN_INTERVAL_MS && version === this.#seenVersion) return;
    this.#lookedAtMs = nowMs;
    this.#seenVersion = version;
    this.#apply(areSet ? this.#find() : new Map());
  }

  instanceGone(instanceId: InstanceId): void {
    for (const [key, rank] of this.#busy)
      if (rank.instanceId === instanceId) this.#busy.delete(key);
    this.#reported.forget(instanceId);
    this.#lookedAtMs = -Infinity;
  }

  /** Whether all ranks of a worker that said something are busy. */
  isBusy(instanceId: InstanceId): boolean {
    if (this.#busy.size === 0) return false;
    const ranks = this.#reported.of(instanceId);
    const isBusy = ({ load: { dpRank } }: ReportedLoad): boolean =>
      this.#busy.has(keyOf({ instanceId, dpRank }));
    return ranks.length > 0 && ranks.every(isBusy);
  }

  /** Last reports of the workers. */
  get reported(): ReportedLoads {
    return this.#reported;
  }

  /** Stops listening; what is busy stays so in the core. Idempotent. */
  async close(): Promise<void> {
    this.#offCollect();
    this.#show(new Map());
    await this.#tasks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #find(): ReadonlyMap<string, BusyRank> {
    const busy = new Map<string, BusyRank>();
    this.#addBooked(busy);
    this.#addReported(busy);
    return busy;
  }

  /** Runs before choices, over all ranks: most are below the lowest threshold, and only the others are looked at closely. */
  #addBooked(busy: Map<string, BusyRank>): void {
    const loads = this.#options.core?.loads();
    if (loads === undefined) return;
    const { lowest } = this.#thresholds;
    const { workerIds, dpRanks } = loads;
    for (let index = 0; index < workerIds.length; index += 1) {
      const pressure = {
        decodeBlocks: loads.decodeBlocks[index] ?? 0,
        prefillTokens: loads.prefillTokens[index] ?? 0,
      };
      const limits = {
        totalKvBlocks: loads.totalKvBlocks[index] ?? 0,
        maxBatchedTokens: loads.maxBatchedTokens[index] ?? 0,
      };
      if (!exceeds(pressure, limits, lowest)) continue;
      const rank = {
        instanceId: asInstanceId(workerIds[index] ?? 0n),
        dpRank: dpRanks[index] ?? 0,
      };
      if (exceeds(pressure, limits, this.#thresholds.of(rank.instanceId)))
        busy.set(keyOf(rank), rank);
    }
  }

  #addReported(busy: Map<string, BusyRank>): void {
    const { maxReportAgeMs = MAX_REPORT_AGE_MS } = this.#options;
    const oldestMs = this.#clock.monotonicMs() - maxReportAgeMs;
    for (const reported of this.#reported.all()) {
      if (reported.heardAtMs < oldestMs || !this.#isOver(reported)) continue;
      const rank = { instanceId: reported.instanceId, dpRank: reported.load.dpRank };
      busy.set(keyOf(rank), rank);
    }
  }

  #isOver({ instanceId, load }: ReportedLoad): boolean {
    // Another endpoint's worker, or one that has left.
    const known = this.#options.limitsOf(instanceId);
    if (known === undefined) return false;
    const { activeDecodeBlocks, activePrefillTokens, totalKvBlocks } = load;
    const limits = {
      totalKvBlocks: totalKvBlocks || known.totalKvBlocks,
      maxBatchedTokens: known.maxBatchedTokens,
    };
    const pressure = { decodeBlocks: activeDecodeBlocks, prefillTokens: activePrefillTokens };
    return exceeds(pressure, limits, this.#thresholds.of(instanceId));
  }

  #apply(busy: ReadonlyMap<string, BusyRank>): void {
    const { core, onChange } = this.#options;
    const freed = [...this.#busy].filter(([key]) => !busy.has(key));
    const filled = [...busy].filter(([key]) => !this.#busy.has(key));
    for (const [key, { instanceId, dpRank }] of freed) {
      this.#busy.delete(key);
      core?.setOverloaded(instanceId, dpRank, false);
    }
    for (const [key, rank] of filled) {
      this.#busy.set(key, rank);
      core?.setOverloaded(rank.instanceId, rank.dpRank, true);
    }
    if (freed.length + filled.length > 0) onChange?.();
  }

  /** Busy ranks of the models that are shown here. */
  #byModel(): Map<string, number> {
    const { models, modelsOf } = this.#options;
    const counts = new Map(Array.from(models(), (model) => [model, 0]));
    for (const { instanceId } of this.#busy.values())
      for (const model of modelsOf(instanceId)) {
        const count = counts.get(model);
        if (count !== undefined) counts.set(model, count + 1);
      }
    return counts;
  }

  /** Other endpoints may serve the same model: each adds its part, and a series goes with the last of them. */
  #show(counts: Map<string, number>): void {
    const gauge = this.#options.metrics?.gauge(BUSY_METRICS.busyRanks);
    for (const [model, count] of counts)
      gauge?.inc({ model }, count - (this.#shown.get(model) ?? 0));
    for (const [model, count] of this.#shown) {
      if (counts.has(model)) continue;
      gauge?.dec({ model }, count);
      gauge?.removeZero({ model });
    }
    this.#shown = counts;
  }
}

function keyOf({ instanceId, dpRank }: BusyRank): string {
  return `${instanceId}/${dpRank}`;
}
