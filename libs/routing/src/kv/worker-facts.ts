/**
 * What workers publish about themselves: their model records in discovery. A worker without one is a plain rank of which
 * nothing is known.
 */
import { DynamoError, asInstanceId, instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { readModelRecord } from '@dynamo-ts/protocol';
import type { EndpointPath, ModelRecord } from '@dynamo-ts/protocol';
import type { Discovery } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import { modelCardsPrefix } from './block-size.ts';

/** Facts of one worker; a size of 0 is unknown. */
export interface WorkerFact {
  readonly dpStart: number;
  readonly dpSize: number;
  readonly totalKvBlocks: number;
  readonly maxBatchedTokens: number;
  /** Publishes KV events and answers index queries. */
  readonly kvEvents: boolean;
  readonly taints: readonly string[];
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

/** Facts of a worker without a record, and of no other. */
export const PLAIN_WORKER: WorkerFact = {
  dpStart: 0,
  dpSize: 1,
  totalKvBlocks: 0,
  maxBatchedTokens: 0,
  kvEvents: false,
  taints: [],
};

interface Entry {
  readonly instanceId: InstanceId;
  readonly fact: WorkerFact;
}

/** Facts of the workers of one endpoint. */
export class WorkerFacts {
  readonly #options: WorkerFactsOptions;
  readonly #byKey = new Map<string, Entry>();
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
    this.#byKey.set(key, entry);
    this.#byId.set(entry.instanceId, entry.fact);
    this.#options.onChange(entry.instanceId);
  }

  #delete(key: string): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined) return;
    this.#byKey.delete(key);
    // A worker may serve several models; what it is stays the same.
    const other = [...this.#byKey.values()].find((each) => each.instanceId === entry.instanceId);
    if (other === undefined) this.#byId.delete(entry.instanceId);
    else this.#byId.set(entry.instanceId, other.fact);
    this.#options.onChange(entry.instanceId);
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
    if (config === undefined) return { ...PLAIN_WORKER };
    const { dataParallelStartRank: dpStart, dataParallelSize } = config;
    if (dataParallelSize > MOST_RANKS) {
      throw new DynamoError(
        'transport.protocol',
        `worker ${instanceIdHex(instanceId)} says that it has ${dataParallelSize} data-parallel ranks; at most ${MOST_RANKS} are taken`,
      );
    }
    return {
      dpStart,
      dpSize: Math.max(dataParallelSize, 1),
      totalKvBlocks: config.totalKvBlocks,
      maxBatchedTokens: config.maxNumBatchedTokens,
      kvEvents: config.kvEvents && this.#countsAlike(instanceId, card?.kvCacheBlockSize ?? 0),
      taints: config.taints,
    };
  }

  #countsAlike(instanceId: bigint, cardBlockSize: number): boolean {
    const { blockSize = cardBlockSize, logger } = this.#options;
    if (cardBlockSize === 0 || cardBlockSize === blockSize) return true;
    logger.warn('a worker has blocks of another size; it is scored by what is routed to it', {
      worker_id: instanceIdHex(instanceId),
      worker_block_size: cardBlockSize,
      router_block_size: blockSize,
    });
    return false;
  }
}
