/** Turns the totals of a worker's index into metrics when somebody looks, and says in the log what an operator must mend. */
import { instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { Counter, Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import { KV_PUBLISHER_METRICS } from './metrics.ts';

/** Totals of an index since it was made. */
export interface KvIndexStats {
  readonly stored: number;
  readonly removed: number;
  readonly cleared: number;
  /** Stores, removals. */
  readonly filteredGroups: readonly number[];
  /** Stores, removals. */
  readonly filteredLocalities: readonly number[];
  readonly removedCopies: number;
  readonly wrongBlockSizes: number;
  /** The last other block size that the engine used; 0 when there was none. */
  readonly refusedBlockSize: number;
  readonly shortTokens: number;
  readonly repeatedHashes: number;
  /** Frames and events that could not be read, of the kinds of `refusedKinds`. */
  readonly refused: readonly number[];
  readonly refusedKinds: readonly string[];
  readonly gaps: number;
  readonly staleBatches: number;
  readonly restarts: number;
  readonly unknownTags: number;
  /** Encoded batches that were thrown away because nobody took them. */
  readonly droppedBatches: number;
  /** Changes of more ranks than a worker can have. */
  readonly ignoredRanks: number;
  readonly blocks: number;
  readonly bytes: number;
  /** Of every rank; ids are dense from 1. */
  readonly lastEventIds: BigUint64Array;
}

/** An index whose totals can be read. */
interface Counted {
  stats(): KvIndexStats;
}

/** Settings of {@link KvPublisherMetrics}. */
export interface KvPublisherMetricsOptions {
  readonly workerId: InstanceId;
  readonly metrics: MetricsRegistry;
  readonly logger: Logger;
}

/** Metrics of one worker's index. */
export class KvPublisherMetrics implements Disposable {
  readonly #worker: { readonly worker_id: string };
  readonly #metrics: MetricsRegistry;
  readonly #logger: Logger;
  readonly #forgetCollector: () => void;
  readonly #counted = new Map<string, number>();
  #index: Counted | undefined;
  #blockSize = 0;
  #saidBlockSize = false;

  constructor({ logger, metrics, workerId }: KvPublisherMetricsOptions) {
    this.#worker = { worker_id: instanceIdHex(workerId) };
    this.#metrics = metrics;
    this.#logger = logger;
    this.#forgetCollector = metrics.onCollect(() => {
      this.collect();
    });
  }

  /** Counts a new index from now on, on top of what its predecessors counted. */
  follow(index: Counted, blockSize: number): void {
    this.#index = index;
    this.#blockSize = blockSize;
    this.#saidBlockSize = false;
  }

  /** The index goes; its totals stay. */
  forget(): void {
    this.collect();
    this.#index = undefined;
    this.#counted.clear();
  }

  /** Brings the metrics up to date. */
  collect(): void {
    const stats = this.#index?.stats();
    if (stats === undefined) return;
    this.#count(stats);
    const { blocks, indexBytes } = KV_PUBLISHER_METRICS;
    this.#metrics.gauge(blocks).set(this.#worker, stats.blocks);
    this.#metrics.gauge(indexBytes).set(this.#worker, stats.bytes);
  }

  /** Nothing came of what the engine told: says why, once, when it is the size of its blocks. */
  checkBlockSize(): void {
    if (this.#saidBlockSize) return;
    const refusedBlockSize = this.#index?.stats().refusedBlockSize ?? 0;
    if (refusedBlockSize === 0) return;
    this.#saidBlockSize = true;
    this.#logger.warn(
      'the engine stores KV blocks of another size than the model card says; they are ignored, give the right --block-size',
      { engine_block_size: refusedBlockSize, card_block_size: this.#blockSize },
    );
  }

  /** Counts no more. Idempotent. */
  [Symbol.dispose](): void {
    this.#forgetCollector();
  }

  #count(stats: KvIndexStats): void {
    const events = this.#metrics.counter(KV_PUBLISHER_METRICS.zmqEventsTotal);
    for (const event_type of ['stored', 'removed', 'cleared'] as const) {
      this.#add(events, { stage: 'received', event_type }, stats[event_type]);
    }
    const emitted = stats.lastEventIds.reduce((sum, id) => sum + id, 0n);
    this.#add(events, { stage: 'emitted', event_type: 'any' }, Number(emitted));
    this.#countFiltered(stats);
    this.#addReasons(this.#metrics.counter(KV_PUBLISHER_METRICS.zmqConversionIssuesTotal), {
      block_size: stats.wrongBlockSizes,
      short_tokens: stats.shortTokens,
      repeated_hash: stats.repeatedHashes,
      ...Object.fromEntries(stats.refusedKinds.map((kind, at) => [kind, stats.refused[at] ?? 0])),
    });
    this.#addReasons(this.#metrics.counter(KV_PUBLISHER_METRICS.zmqSuspiciousEventsTotal), {
      gap: stats.gaps,
      stale: stats.staleBatches,
      restart: stats.restarts,
      unknown_tag: stats.unknownTags,
      dropped_batch: stats.droppedBatches,
      ignored_rank: stats.ignoredRanks,
    });
  }

  #countFiltered({ filteredGroups, filteredLocalities, removedCopies }: KvIndexStats): void {
    const filtered = this.#metrics.counter(KV_PUBLISHER_METRICS.zmqFilteredEventsTotal);
    for (const [at, event_type] of (['stored', 'removed'] as const).entries()) {
      this.#add(filtered, { event_type, reason: 'cache_group' }, filteredGroups[at] ?? 0);
      this.#add(filtered, { event_type, reason: 'locality' }, filteredLocalities[at] ?? 0);
    }
    this.#add(filtered, { event_type: 'removed', reason: 'copy' }, removedCopies);
  }

  #addReasons(
    counter: Counter<'worker_id' | 'reason'>,
    totals: Readonly<Record<string, number>>,
  ): void {
    for (const [reason, total] of Object.entries(totals)) this.#add(counter, { reason }, total);
  }

  #add<Name extends string>(
    counter: Counter<Name | 'worker_id'>,
    labels: Readonly<Record<Exclude<Name, 'worker_id'>, string>>,
    total: number,
  ): void {
    const all = { ...labels, ...this.#worker } as Readonly<Record<Name | 'worker_id', string>>; // the two make the whole
    const key = Object.values(all).join();
    const before = this.#counted.get(key) ?? 0;
    this.#counted.set(key, total);
    counter.inc(all as Parameters<typeof counter.inc>[0], total - before);
  }
}
