/**
 * What a worker tells routers about its engine's KV cache: events on the topic `kv-events`, and answers to routers that
 * missed some on the endpoint `worker_kv_indexer_query` (RP 3.4).
 *
 * Every life of the engine has an index and an epoch of its own. What its ticks changed leaves once per event-loop tick;
 * when the engine dies, routers are told at once that its blocks are gone.
 */
import type { Clock, InstanceId } from '@dynamo-ts/base';
import { instanceIdHex, systemClock } from '@dynamo-ts/base';
import type { EngineEventAddress, EventFrameSink } from '@dynamo-ts/engine-events';
import { EngineEventSource } from '@dynamo-ts/engine-events';
import type { EventPublisher } from '@dynamo-ts/runtime';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { EngineKvEvents } from '../engines/engine.ts';
import { KvPublisherMetrics } from './kv-publisher-metrics.ts';
import type { KvIndexStats } from './kv-publisher-metrics.ts';

/** A worker's index of its own cache, with the events that made it; `LocalKvIndexer` of `@dynamo-ts/kv`. */
export interface KvIndex extends EventFrameSink, AsyncDisposable {
  acceptMockerRecords(records: Uint8Array): void;
  clear(): void;
  /** Adds an event that changes nothing. */
  beat(): void;
  flush(): Uint8Array | undefined;
  query(request: Uint8Array): Promise<readonly Uint8Array[]>;
  stats(): KvIndexStats;
}

/** What an index is made for. */
export interface KvIndexOptions {
  readonly workerId: InstanceId;
  readonly epoch: bigint;
  readonly blockSize: number;
  readonly dpStart: number;
}

/** Settings of a {@link KvPublication}. */
export interface KvPublicationOptions {
  readonly workerId: InstanceId;
  /** Of the topic `KV_EVENTS_TOPIC`; not closed here. */
  readonly publisher: EventPublisher;
  readonly createIndex: (options: KvIndexOptions) => KvIndex;
  readonly metrics: MetricsRegistry;
  readonly logger: Logger;
  readonly clock?: Clock | undefined;
}

/** The cache of an engine that is up. */
export interface EngineCache {
  /** As in the model card. */
  readonly blockSize: number;
  readonly dpStart: number;
  readonly kvEvents: EngineKvEvents;
}

/** An index that has been quiet for this long says so once: routers then notice that they missed its last event. */
const BEAT_AFTER_MS = 1000;

/** One life of the engine. */
interface Life {
  readonly index: KvIndex;
  readonly sources: readonly EngineEventSource[];
  /** Over: its last words are not believed any more, but routers may still ask. */
  isOver: boolean;
}

/** Publishes one worker's cache. */
export class KvPublication implements AsyncDisposable {
  readonly #options: KvPublicationOptions;
  readonly #metrics: KvPublisherMetrics;
  #life: Life | undefined;
  #lastEpoch = 0n;
  #flush: NodeJS.Immediate | undefined;
  #beat: NodeJS.Timeout | undefined;

  constructor(options: KvPublicationOptions) {
    const { logger, metrics, workerId } = options;
    this.#options = options;
    this.#metrics = new KvPublisherMetrics({ workerId, metrics, logger });
  }

  /** The engine is up: begins a new index and listens to its events. @throws `config.invalid` for an impossible address */
  async begin({ blockSize, dpStart, kvEvents }: EngineCache): Promise<void> {
    await this.#endLife();
    if (kvEvents.kind === 'none') return;
    const { clock = systemClock, createIndex, workerId } = this.#options;
    // Event ids begin again with an epoch, so no two may be equal, whatever the clock does.
    this.#lastEpoch = maximum(BigInt(Math.trunc(clock.now())), this.#lastEpoch + 1n);
    const index = createIndex({ workerId, epoch: this.#lastEpoch, blockSize, dpStart });
    const addresses = kvEvents.kind === 'sockets' ? kvEvents.addresses : [];
    const sources = addresses.map((address) => this.#sourceOf(address, index));
    this.#life = { index, sources, isOver: false };
    this.#metrics.follow(index, blockSize);
    this.#beatLater();
    for (const source of sources) await source.start();
  }

  /** Takes what an engine in this process changed. */
  accept(records: Uint8Array): void {
    if (this.#life === undefined || this.#life.isOver) return;
    this.#life.index.acceptMockerRecords(records);
    this.#changed();
  }

  /** The engine has dropped its cache and lives on: tells routers that its blocks are gone. */
  clear(): void {
    if (this.#life === undefined || this.#life.isOver) return;
    this.#life.index.clear();
    this.#publish();
  }

  /** The engine has died: tells routers that its blocks are gone. Queries are answered until the next life. */
  async end(): Promise<void> {
    const life = this.#life;
    if (life === undefined || life.isOver) return;
    life.isOver = true;
    for (const source of life.sources) await source.close();
    life.index.clear();
    this.#publish();
  }

  /** Answers an encoded `WorkerKvQueryRequest`; undefined when there is no index. */
  async query(request: Uint8Array): Promise<readonly Uint8Array[] | undefined> {
    return this.#life?.index.query(request);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#endLife();
    this.#metrics[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #sourceOf(address: EngineEventAddress, sink: KvIndex) {
    const { logger, metrics, workerId } = this.#options;
    return new EngineEventSource({
      address,
      sink,
      onChange: () => {
        this.#changed();
      },
      workerId: instanceIdHex(workerId),
      logger,
      metrics,
    });
  }

  #changed(): void {
    this.#flush ??= setImmediate(() => {
      this.#publish();
    });
  }

  #publish(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    if (this.#send() === 0) this.#metrics.checkBlockSize();
    else this.#beatLater();
  }

  #beatLater(): void {
    clearTimeout(this.#beat);
    this.#beat = setTimeout(() => {
      this.#life?.index.beat();
      this.#send();
    }, BEAT_AFTER_MS);
    this.#beat.unref();
  }

  /** Sends what there is to tell. @returns in how many batches */
  #send(): number {
    const index = this.#life?.index;
    let batches = 0;
    // A batch is bounded, so that it fits the event plane; a replay gives several.
    for (let batch = index?.flush(); batch !== undefined; batch = index?.flush()) {
      this.#options.publisher.publish(batch);
      batches += 1;
    }
    return batches;
  }

  async #endLife(): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    await this.end();
    clearTimeout(this.#beat);
    this.#life = undefined;
    this.#metrics.forget();
    await life.index[Symbol.asyncDispose]();
  }
}

function maximum(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}
