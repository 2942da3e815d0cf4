/**
 * Keeps the catalogue of models as discovery says: watches model cards, loads what is new, lets go of what has left.
 *
 * A model is listed when it is loaded and has a worker, not before. Loading that fails is tried again with back-off.
 */
import { Backoff, TaskGroup, instanceIdHex, systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { CardFileCache } from '@dynamo-ts/preprocess';
import {
  MODEL_CARDS_PREFIX,
  encodeSegment,
  formatEndpointPath,
  readModelRecord,
} from '@dynamo-ts/protocol';
import type { ModelRecord } from '@dynamo-ts/protocol';
import type { DiscoveryEvent } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import { CardLoader } from './card-loader.ts';
import { ModelCatalog } from './model-catalog.ts';
import { ModelWorkers } from './model-workers.ts';
import type { ModelWorkersOptions } from './model-workers.ts';
import type { WorkerSet } from './worker-set.ts';

/** Settings of a {@link ModelDirectory}. */
export interface ModelDirectoryOptions extends ModelWorkersOptions {
  readonly cache: CardFileCache;
  /** Only models of this namespace; undefined is all. */
  readonly namespace: string | undefined;
  readonly lingerMs: number;
  readonly clock?: Clock | undefined;
}

/** The models that this frontend serves. */
export class ModelDirectory implements AsyncDisposable {
  readonly catalog: ModelCatalog;
  readonly #options: ModelDirectoryOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #loader: CardLoader;
  readonly #tasks: TaskGroup;
  /** First attempts to load what the first snapshot held. */
  readonly #firstLoads = new Set<Promise<undefined>>();
  #snapshotComplete = false;

  constructor(options: ModelDirectoryOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.telemetry.logger.child({ target: 'frontend.models' });
    this.#loader = new CardLoader(options);
    this.#tasks = new TaskGroup({
      name: 'models',
      onError: (error, task) => this.#logger.error('model task failed', { task, error }),
    });
    this.catalog = new ModelCatalog({
      logger: this.#logger,
      lingerMs: options.lingerMs,
      clock: this.#clock,
      onSet: (set) => this.#startLoading(set),
    });
  }

  /** Whether discovery has reported everything there was, and that has been loaded. */
  get ready(): boolean {
    return this.#snapshotComplete && this.#firstLoads.size === 0;
  }

  /** Begins to follow discovery. */
  start(): void {
    this.#tasks.start('watch model cards', (signal) => this.#watch(signal));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#tasks.close();
    await this.catalog.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { runtime, namespace } = this.#options;
    const prefix =
      MODEL_CARDS_PREFIX + (namespace === undefined ? '' : `${encodeSegment(namespace)}/`);
    for await (const event of runtime.discovery.watch(prefix, { signal })) this.#apply(event);
  }

  #apply(event: DiscoveryEvent): void {
    switch (event.kind) {
      case 'put': {
        const record = this.#tryRead(event.key, event.value);
        if (record !== undefined) this.catalog.put(event.key, record);
        return;
      }
      case 'delete':
        this.catalog.delete(event.key);
        return;
      case 'ready':
        this.#snapshotComplete = true;
    }
  }

  #tryRead(key: string, value: Uint8Array): ModelRecord | undefined {
    try {
      return readModelRecord(key, value);
    } catch (error) {
      this.#logger.warn('a model card cannot be read and is ignored', { key, error });
      return undefined;
    }
  }

  #startLoading(set: WorkerSet): void {
    const first = Promise.withResolvers<undefined>();
    const isFirst = !this.#snapshotComplete;
    if (isFirst) {
      this.#firstLoads.add(first.promise);
      void first.promise.then(() => this.#firstLoads.delete(first.promise));
    }
    this.#tasks.start(`load ${set.name}`, async (closing) => {
      const signal = AbortSignal.any([closing, set.signal]);
      const backoff = new Backoff({ initialMs: 200, maxMs: 5000 });
      for (let done = false; !done && !signal.aborted;) {
        done = await this.#tryLoad(set, signal);
        first.resolve(undefined);
        if (!done) await this.#clock.sleep(backoff.nextMs(), { signal }).catch(() => undefined);
      }
      first.resolve(undefined);
    });
  }

  async #tryLoad(set: WorkerSet, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#load(set, signal);
      return true;
    } catch (error) {
      if (!signal.aborted) {
        this.#logger.warn('model cannot be loaded, trying again', { model: set.name, error });
      }
      return false;
    }
  }

  async #load(set: WorkerSet, signal: AbortSignal): Promise<void> {
    const { card, path } = set;
    const startMs = this.#clock.monotonicMs();
    const publishers = (): WorkerSet['publishers'] => set.publishers;
    const preprocessor = await this.#loader.load({ card, path, publishers }, signal);
    const { kvCacheBlockSize, displayName: model } = card;
    // A model whose input is text has no blocks; it is routed by load.
    const blockSize = Math.max(1, kvCacheBlockSize);
    try {
      const pool = { path, blockSize, model };
      const workers = await ModelWorkers.open(pool, this.#options, { signal });
      await set.setLoaded({ preprocessor, workers });
    } catch (error) {
      await preprocessor.close();
      throw error;
    }
    this.#logger.info('model is served', {
      model: set.name,
      endpoint: formatEndpointPath(path),
      input: card.modelInput,
      context_length: card.contextLength,
      workers: set.publishers.map(instanceIdHex),
      load_ms: Math.round(this.#clock.monotonicMs() - startMs),
    });
  }
}
