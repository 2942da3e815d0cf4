/**
 * What workers publish about themselves: their model records in discovery. A worker without one is a plain rank of which
 * nothing is known.
 */
import { DynamoError, asInstanceId, instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { WorkerEntry } from '@dynamo-ts/kv';
import { readModelRecord } from '@dynamo-ts/protocol';
import type { EndpointPath, ModelRecord } from '@dynamo-ts/protocol';
import type { Discovery } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import { modelCardsPrefix } from './endpoint-models.ts';

/** What a core is told of a worker, and what only its router knows. */
export interface WorkerFact extends Omit<WorkerEntry, 'workerId'> {
  /** Names of the models that it serves. */
  readonly models: readonly string[];
  /** Its blocks have the size that is wanted, as far as it is known: otherwise another router counts its cache. */
  readonly countsAlike: boolean;
}

/** Settings of {@link WorkerFacts}. */
export interface WorkerFactsOptions {
  readonly path: EndpointPath;
  readonly discovery: Discovery;
  /** Tokens per block of whoever wants the facts: events in other blocks say nothing to it. @default any will do */
  readonly blockSize?: number | undefined;
  readonly logger: Logger;
  /** What is known of a worker has changed. */
  readonly onChange: (instanceId: InstanceId) => void;
}

/** Most data-parallel ranks of one worker: more is a mistake in what it says about itself. */
export const MOST_RANKS = 1024;
/** Largest number of a rank. */
export const LARGEST_RANK = 0xffff;

/** Facts of a worker without a record, and of no other. */
export const PLAIN_WORKER: WorkerFact = {
  dpStart: 0,
  dpSize: 1,
  totalKvBlocks: 0,
  maxBatchedTokens: 0,
  kvEvents: false,
  taints: [],
  models: [],
  countsAlike: true,
};

/** What one model record of a worker says. */
interface Entry {
  readonly instanceId: InstanceId;
  readonly fact: WorkerFact;
}

/** Facts of the workers of one endpoint. */
export class WorkerFacts {
  readonly #options: WorkerFactsOptions;
  readonly #byKey = new Map<string, Entry>();
  /** Facts by the keys of a worker's records. */
  readonly #records = new Map<InstanceId, Map<string, WorkerFact>>();
  readonly #byId = new Map<InstanceId, WorkerFact>();
  readonly #ready = Promise.withResolvers<undefined>();

  constructor(options: WorkerFactsOptions) {
    this.#options = options;
  }

  /** What is known of a worker. */
  get(instanceId: InstanceId): WorkerFact {
    return this.#byId.get(instanceId) ?? PLAIN_WORKER;
  }

  /** Resolves when the records that there were have been read. */
  async ready(): Promise<void> {
    await this.#ready.promise;
  }

  /** Follows discovery until aborted. */
  async follow(signal: AbortSignal): Promise<void> {
    const { discovery, path } = this.#options;
    for await (const event of discovery.watch(modelCardsPrefix(path), { signal })) {
      if (event.kind === 'put') this.#put(event.key, event.value);
      else if (event.kind === 'delete') this.#delete(event.key);
      else this.#ready.resolve(undefined);
    }
  }

  #put(key: string, value: Uint8Array): void {
    const entry = this.#tryRead(key, value);
    if (entry === undefined) return;
    const { instanceId, fact } = entry;
    this.#byKey.set(key, entry);
    const records = this.#records.get(instanceId) ?? new Map<string, WorkerFact>();
    this.#records.set(instanceId, records.set(key, fact));
    this.#changed(instanceId, records);
  }

  #delete(key: string): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined) return;
    const { instanceId } = entry;
    this.#byKey.delete(key);
    const records = this.#records.get(instanceId);
    records?.delete(key);
    if (records?.size === 0) this.#records.delete(instanceId);
    this.#changed(instanceId, records);
  }

  /** A worker may serve several models; what else it is they say alike, and the last one is believed. */
  #changed(instanceId: InstanceId, records: ReadonlyMap<string, WorkerFact> | undefined): void {
    const facts = [...(records?.values() ?? [])];
    const last = facts.at(-1);
    if (last === undefined) this.#byId.delete(instanceId);
    else {
      const models = new Set(facts.flatMap((fact) => fact.models));
      this.#byId.set(instanceId, facts.length === 1 ? last : { ...last, models: [...models] });
    }
    this.#options.onChange(instanceId);
  }

  #tryRead(key: string, value: Uint8Array): Entry | undefined {
    try {
      const record = readModelRecord(key, value);
      return { instanceId: asInstanceId(record.instanceId), fact: this.#factOf(record) };
    } catch (error) {
      this.#options.logger.warn('a model card cannot be read; its last value is kept', {
        key,
        error,
      });
      return undefined;
    }
  }

  #factOf({ card, instanceId }: ModelRecord): WorkerFact {
    const config = card?.runtimeConfig;
    const models = card === undefined ? [] : [card.displayName];
    if (config === undefined) return { ...PLAIN_WORKER, models };
    const { dataParallelStartRank: dpStart, dataParallelSize } = config;
    if (dataParallelSize > MOST_RANKS) {
      throw new DynamoError(
        'transport.protocol',
        `worker ${instanceIdHex(instanceId)} says that it has ${dataParallelSize} data-parallel ranks; at most ${MOST_RANKS} are taken`,
      );
    }
    const countsAlike = this.#countsAlike(instanceId, card?.kvCacheBlockSize ?? 0);
    return {
      dpStart,
      dpSize: Math.max(dataParallelSize, 1),
      totalKvBlocks: config.totalKvBlocks,
      maxBatchedTokens: config.maxNumBatchedTokens,
      kvEvents: config.kvEvents && countsAlike,
      taints: config.taints,
      models,
      countsAlike,
    };
  }

  #countsAlike(instanceId: bigint, cardBlockSize: number): boolean {
    const { blockSize = cardBlockSize, logger } = this.#options;
    if (cardBlockSize === 0 || cardBlockSize === blockSize) return true;
    logger.info('a worker has blocks of another size; this router does not count what it holds', {
      worker_id: instanceIdHex(instanceId),
      worker_block_size: cardBlockSize,
      router_block_size: blockSize,
    });
    return false;
  }
}
