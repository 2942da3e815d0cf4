/**
 * The engines of one model and routing group in a router that stands alone: their index and their load, fed by events and
 * by calls over HTTP, with no discovery behind them.
 */
import { TaskGroup } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { PlacementCore } from '@dynamo-ts/kv';
import type { Recovery, WorkerEntry } from '@dynamo-ts/kv';
import { WorkerKvQueryRequest } from '@dynamo-ts/protocol';
import { KV_ROUTER_DEFAULTS } from '@dynamo-ts/routing';
import type { KvRouterSettings } from '@dynamo-ts/routing';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import { EngineFeed } from '../engines/engine-feed.ts';

/** Names a group. */
export interface GroupKey {
  readonly model: string;
  readonly routingGroup: string;
}

/** Settings of a {@link WorkerGroup}. */
export interface WorkerGroupOptions extends GroupKey {
  readonly blockSize: number;
  readonly routerId: InstanceId;
  readonly settings?: Partial<KvRouterSettings> | undefined;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
}

/** How often forgotten bookings are looked for. */
const EXPIRY_MS = 1000;

/** One model's engines. */
export class WorkerGroup implements AsyncDisposable {
  readonly model: string;
  readonly routingGroup: string;
  readonly blockSize: number;
  readonly core: PlacementCore;
  readonly #options: WorkerGroupOptions;
  readonly #workers = new Map<InstanceId, WorkerEntry>();
  readonly #feeds = new Map<InstanceId, EngineFeed>();
  readonly #recoveries: TaskGroup;
  readonly #expiry: NodeJS.Timeout;

  constructor(options: WorkerGroupOptions) {
    const { model, routingGroup, blockSize, routerId, logger } = options;
    this.model = model;
    this.routingGroup = routingGroup;
    this.blockSize = blockSize;
    this.#options = options;
    this.core = new PlacementCore({
      ...KV_ROUTER_DEFAULTS,
      ...options.settings,
      blockSize,
      endpoint: `${model}:${routingGroup}`,
      routerId,
      seed: routerId,
    });
    this.#recoveries = new TaskGroup({
      name: 'engine index',
      onError: (error, task) => {
        logger.error('the index of an engine could not be taken over', { error, task });
      },
    });
    this.#expiry = setInterval(() => {
      this.core.expire(performance.now());
    }, EXPIRY_MS).unref();
  }

  /** Engines of the group. */
  workers(): readonly WorkerEntry[] {
    return [...this.#workers.values()];
  }

  /** Whether a rank of an engine is known. */
  hasRank(workerId: InstanceId, dpRank: number): boolean {
    const worker = this.#workers.get(workerId);
    if (worker === undefined) return false;
    return dpRank >= worker.dpStart && dpRank < worker.dpStart + worker.dpSize;
  }

  /** Adds an engine or changes what is known of it. */
  setWorker(worker: WorkerEntry): void {
    this.#workers.set(worker.workerId, worker);
    this.core.setWorker(worker);
    this.#recoverDue();
  }

  /** Takes an engine away with its blocks and bookings. @returns whether it was there */
  async removeWorker(workerId: InstanceId): Promise<boolean> {
    if (!this.#workers.delete(workerId)) return false;
    const feed = this.#feeds.get(workerId);
    this.#feeds.delete(workerId);
    this.core.removeWorker(workerId);
    await feed?.close();
    return true;
  }

  /** The event sockets of an engine. */
  feedOf(workerId: InstanceId): EngineFeed {
    const known = this.#feeds.get(workerId);
    if (known !== undefined) return known;
    const { blockSize, logger, metrics } = this.#options;
    const feed = new EngineFeed({
      workerId,
      blockSize,
      sink: (payload) => {
        this.#recover(this.core.applyEvents(payload, performance.now()).recoveries);
      },
      logger,
      metrics,
    });
    this.#feeds.set(workerId, feed);
    return feed;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#expiry);
    await this.#recoveries.close();
    for (const feed of this.#feeds.values()) await feed.close();
    this.#feeds.clear();
    await this.core.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #recoverDue(): void {
    this.#recover(this.core.recoveriesDue(performance.now()));
  }

  #recover(recoveries: readonly Recovery[]): void {
    if (this.#recoveries.signal.aborted) return;
    for (const recovery of recoveries)
      this.#recoveries.start(`worker ${recovery.workerId}`, () => this.#answer(recovery));
  }

  async #answer({ workerId, dpRank, epoch, startEventId }: Recovery): Promise<void> {
    if (!this.#workers.has(workerId)) return;
    const message = WorkerKvQueryRequest.create({ workerId, dpRank, epoch, startEventId });
    const items = await this.feedOf(workerId).query(WorkerKvQueryRequest.encode(message).finish());
    if (this.#recoveries.signal.aborted || !this.#workers.has(workerId)) return;
    const nowMs = performance.now();
    const { recoveries } = await this.core.finishRecovery(workerId, dpRank, items, nowMs);
    this.#recover(recoveries);
  }
}
