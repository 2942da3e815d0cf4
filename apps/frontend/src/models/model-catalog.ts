/**
 * The models of this frontend: names, aliases, and the worker sets behind them.
 *
 * Rules: the workers of one set publish the same card, and one that differs is refused until the others have gone; a model
 * whose workers have all gone stays known for a while (503), then it is forgotten (404); several sets of one model share
 * its requests by their number of workers.
 */
import { DynamoError } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { ModelRecord } from '@dynamo-ts/protocol';
import type { DecisionSource } from '@dynamo-ts/routing';
import type { Logger } from '@dynamo-ts/telemetry';

import type { ModelSource, ServedModel } from './served-model.ts';
import { WorkerSet } from './worker-set.ts';

/** What a {@link ModelCatalog} needs. */
export interface ModelCatalogOptions {
  readonly logger: Logger;
  /** How long a model without workers stays known. */
  readonly lingerMs: number;
  readonly clock: Clock;
  readonly random?: () => number;
  /** A set has begun: load it. */
  readonly onSet: (set: WorkerSet) => void;
}

/** What timers can wait; a model that may stay longer is never forgotten. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Known models. */
export class ModelCatalog implements ModelSource {
  readonly #options: ModelCatalogOptions;
  /** By model and endpoint. */
  readonly #sets = new Map<string, WorkerSet>();
  /** Where each discovery key belongs. */
  readonly #keys = new Map<string, WorkerSet>();
  /** Records whose card differs from that of their set. */
  readonly #refused = new Map<string, ModelRecord>();

  constructor(options: ModelCatalogOptions) {
    this.#options = options;
  }

  /** All sets. */
  sets(): readonly WorkerSet[] {
    return [...this.#sets.values()];
  }

  /** Sets that can take requests. */
  servable(): readonly WorkerSet[] {
    return this.sets().filter((set) => set.loaded !== undefined && set.liveWorkers > 0);
  }

  /** Requests that workers have now, of all models; those of one endpoint may serve several. */
  get openStreams(): number {
    const clients = new Map(
      this.sets().flatMap(({ loaded, path }) =>
        loaded === undefined ? [] : [[formatEndpointPath(path), loaded.workers.client]],
      ),
    );
    let streams = 0;
    for (const client of clients.values())
      for (const id of client.instanceIds()) streams += client.inFlight(id);
    return streams;
  }

  /** Who records decisions for the sets that are loaded; models of one endpoint may share one. */
  decisionSources(): readonly DecisionSource[] {
    const sources = this.sets().flatMap(({ loaded }) => loaded?.workers.decisions ?? []);
    return [...new Set(sources)];
  }

  /** A worker publishes a card, or publishes it again. */
  put(key: string, record: ModelRecord): void {
    const { card } = record;
    if (card === undefined || card.displayName === '') return;
    this.delete(key);
    const setKey = setKeyOf(record);
    const existing = this.#sets.get(setKey);
    if (existing?.card.mdcSum === card.mdcSum) {
      this.#join(existing, key, record);
    } else if (existing === undefined || existing.isEmpty) {
      void existing?.close();
      this.#begin(setKey, key, record);
    } else {
      this.#refused.set(key, record);
      this.#options.logger.error(
        'worker refused: its model card differs from that of the workers that are served; use another namespace for it',
        { model: card.displayName, endpoint: formatEndpointPath(record), key },
      );
    }
  }

  /** A worker withdrew its card or is gone. */
  delete(key: string): void {
    this.#refused.delete(key);
    const set = this.#keys.get(key);
    if (set === undefined) return;
    this.#keys.delete(key);
    set.remove(key);
    if (set.isEmpty) this.#onEmpty(set);
  }

  canonicalName(name: string): string | undefined {
    const sets = this.sets();
    return (
      sets.find((set) => set.name === name)?.name ??
      sets.find((set) => set.card.aliases.includes(name))?.name
    );
  }

  acquire(name: string): ServedModel {
    const canonical = this.canonicalName(name);
    if (canonical === undefined) {
      throw new DynamoError(
        'request.model_not_found',
        `The model "${name.slice(0, 256)}" does not exist. GET /v1/models lists those that are served.`,
        { details: { param: 'model' } },
      );
    }
    const sets = this.servable().filter((set) => set.name === canonical);
    const set = this.#weighted(sets);
    const loaded = set?.loaded;
    if (set === undefined || loaded === undefined) {
      throw new DynamoError('backend.unavailable', `no worker serves the model "${canonical}"`);
    }
    return set.hold(loaded);
  }

  /** Ends all sets. Idempotent. */
  async close(): Promise<void> {
    const sets = this.sets();
    this.#sets.clear();
    this.#keys.clear();
    await Promise.all(sets.map((set) => set.close()));
  }

  #begin(setKey: string, key: string, record: ModelRecord): void {
    const { card, namespace, component, endpoint } = record;
    if (card === undefined) return;
    const set = new WorkerSet(card, { namespace, component, endpoint });
    this.#sets.set(setKey, set);
    this.#join(set, key, record);
    this.#options.onSet(set);
  }

  #join(set: WorkerSet, key: string, record: ModelRecord): void {
    set.add(key, record);
    this.#keys.set(key, set);
  }

  #onEmpty(set: WorkerSet): void {
    const { logger, clock, lingerMs } = this.#options;
    logger.info('model has no worker', { model: set.name, endpoint: formatEndpointPath(set.path) });
    const setKey = setKeyOf({ ...set.path, card: set.card });
    const waiting = [...this.#refused].filter(([, record]) => setKeyOf(record) === setKey);
    if (waiting.length > 0) {
      for (const [key, record] of waiting) this.put(key, record);
      return;
    }
    if (lingerMs > LONGEST_TIMER_MS) return;
    clock.sleep(lingerMs, { signal: set.signal }).then(
      () => this.#forget(setKey, set),
      () => undefined, // closed before
    );
  }

  #forget(setKey: string, set: WorkerSet): void {
    if (!set.isEmpty || this.#sets.get(setKey) !== set) return;
    this.#sets.delete(setKey);
    this.#options.logger.info('model is forgotten', { model: set.name });
    void set.close();
  }

  #weighted(sets: readonly WorkerSet[]): WorkerSet | undefined {
    if (sets.length <= 1) return sets[0];
    const total = sets.reduce((sum, set) => sum + set.liveWorkers, 0);
    let left = (this.#options.random ?? Math.random)() * total;
    for (const set of sets) {
      left -= set.liveWorkers;
      if (left < 0) return set;
    }
    return sets.at(-1);
  }
}

function setKeyOf(
  record: Pick<ModelRecord, 'namespace' | 'component' | 'endpoint' | 'card'>,
): string {
  return `${formatEndpointPath(record)}/${record.card?.displayName ?? ''}`;
}
