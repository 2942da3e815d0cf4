/**
 * Feeds the index from its workers' events. Subscribes first and asks for snapshots then, so that nothing falls between;
 * whatever is lost afterwards shows as a gap and is asked for again. What cannot be asked for demotes the rank.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

import { TaskGroup, asInstanceId, raceAbort } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import type { PlacementCore, Recovery } from '@dynamo-ts/kv';
import type { EndpointPath, EventEnvelope } from '@dynamo-ts/protocol';
import { KV_EVENTS_TOPIC } from '@dynamo-ts/protocol';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import { RankRestore } from './rank-restore.ts';
import { RefusalLog } from './refusal-log.ts';
import { WorkerKvQuery } from './worker-kv-query.ts';
import type { AskWorker } from './worker-kv-query.ts';

/** Events are applied for at most this long without a pause. */
const SLICE_MS = 2;
/** Without events for this long the snapshots are asked for anyway; they are asked for again when events come. */
const SUBSCRIBE_MS = 2000;

/** Settings of an {@link IndexFeed}. */
export interface IndexFeedOptions {
  readonly core: PlacementCore;
  readonly runtime: DistributedRuntime;
  /** The endpoint whose component publishes. */
  readonly path: EndpointPath;
  readonly logger: Logger;
  readonly clock: Clock;
  /** More, or other, ranks are restored. */
  readonly onProgress: () => void;
}

/** Ranks of a worker. */
export interface WorkerRanks {
  readonly dpStart: number;
  readonly dpSize: number;
}

/** Keeps an index up to date. */
export class IndexFeed implements AsyncDisposable {
  readonly #options: IndexFeedOptions;
  readonly #query: WorkerKvQuery;
  readonly #restore: RankRestore;
  readonly #refusals: RefusalLog;
  readonly #workers = new Map<InstanceId, WorkerRanks>();
  /** Last event of each publisher, as `epoch` and `sequence`. */
  readonly #last = new Map<bigint, { readonly epoch: bigint; readonly sequence: bigint }>();
  readonly #tasks: TaskGroup;

  private constructor(options: IndexFeedOptions, query: WorkerKvQuery) {
    this.#options = options;
    this.#query = query;
    this.#restore = new RankRestore({ ...options, query });
    this.#refusals = new RefusalLog(options);
    this.#tasks = new TaskGroup({
      name: 'kv events',
      onError: (error, task) => options.logger.error('KV event feed failed', { task, error }),
    });
  }

  /** Begins to listen. */
  static async start(options: IndexFeedOptions): Promise<IndexFeed> {
    const feed = new IndexFeed(options, await WorkerKvQuery.connect(options.runtime, options.path));
    feed.#tasks.start('follow', (signal) => feed.#follow(signal));
    return feed;
  }

  /** Ranks that have been restored, or whose worker has been asked once in vain. */
  get progress(): { readonly done: number; readonly total: number } {
    return this.#restore.progress;
  }

  /** A worker that publishes events is there, or has other ranks; `ask` is asked instead of its endpoint. */
  add(workerId: InstanceId, ranks: WorkerRanks, ask?: AskWorker): void {
    const known = this.#workers.get(workerId);
    if (known?.dpStart === ranks.dpStart && known.dpSize === ranks.dpSize) return;
    this.remove(workerId);
    this.#workers.set(workerId, ranks);
    this.#restore.add(workerId, ranksOf(ranks), ask);
  }

  /** A worker has gone, or publishes no events any more. */
  remove(workerId: InstanceId): void {
    const ranks = this.#workers.get(workerId);
    if (ranks === undefined) return;
    this.#workers.delete(workerId);
    this.#last.delete(workerId);
    for (const rank of ranksOf(ranks)) this.#restore.remove(workerId, rank);
  }

  /** Something of a rank is missing. */
  want(recovery: Recovery): void {
    this.#restore.want(recovery);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#tasks.close(), this.#restore.close()]);
    await this.#query.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { runtime, path, core, clock } = this.#options;
    const scope = { namespace: path.namespace, component: path.component };
    const subscription = runtime.events.subscribe({ scope, topic: KV_EVENTS_TOPIC }, { signal });
    this.#tasks.start('subscribe', () => this.#announce(subscription.ready({ signal }), signal));
    subscription.onRenewed((publishers) => this.#onRenewed(publishers));
    let sliceEndMs = 0;
    for await (const event of subscription) {
      const nowMs = clock.monotonicMs();
      const result = core.applyEvents(event.payload, nowMs);
      for (const recovery of result.recoveries) this.want(recovery);
      this.#refusals.note(result, event.publisherId);
      this.#noteSequence(event);
      if (nowMs < sliceEndMs) continue;
      await nextTurn();
      sliceEndMs = clock.monotonicMs() + SLICE_MS;
    }
  }

  async #announce(ready: Promise<void>, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const late = clock.sleep(SUBSCRIBE_MS, { signal }).then(() => 'late' as const);
    const first = await Promise.race([ready, late.catch(() => undefined)]);
    this.#restore.open();
    if (first !== 'late') return;
    logger.warn('no KV events can be received yet; the index is restored without them');
    await raceAbort(ready, signal);
    this.#onRenewed('all');
  }

  /** Events of other ranks than this one's may have been among those that are missing. */
  #noteSequence({ publisherId, epoch, sequence }: EventEnvelope): void {
    const last = this.#last.get(publisherId);
    const workerId = asInstanceId(publisherId);
    const ranks = this.#workers.get(workerId);
    if (ranks === undefined) return;
    this.#last.set(publisherId, { epoch, sequence });
    const follows = last?.epoch !== epoch || sequence === last.sequence + 1n;
    if (!follows && ranks.dpSize > 1) this.#renew(workerId, ranks);
  }

  #onRenewed(publishers: readonly bigint[] | 'all'): void {
    const workers = publishers === 'all' ? [...this.#workers.keys()] : publishers.map(asInstanceId);
    for (const workerId of workers) {
      const ranks = this.#workers.get(workerId);
      if (ranks !== undefined) this.#renew(workerId, ranks);
    }
  }

  #renew(workerId: InstanceId, ranks: WorkerRanks): void {
    for (const rank of ranksOf(ranks)) this.#restore.renew(workerId, rank);
  }
}

function ranksOf({ dpStart, dpSize }: WorkerRanks): readonly number[] {
  return Array.from({ length: dpSize }, (_, index) => dpStart + index);
}
