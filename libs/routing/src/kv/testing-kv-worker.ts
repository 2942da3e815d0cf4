/**
 * A worker with a cache that the test writes: it publishes its model card, serves requests and index queries, and sends
 * its events when the test says so, in the order that the test wants; for tests.
 */
import type { InstanceId } from '@dynamo-ts/base';
import { LocalKvIndexer, computeBlockHashForSeq } from '@dynamo-ts/kv';
import {
  KV_EVENTS_TOPIC,
  ModelRecord,
  WORKER_KV_QUERY_ENDPOINT,
  modelCardKey,
  parseEndpointPath,
} from '@dynamo-ts/protocol';
import type { EventEnvelope } from '@dynamo-ts/protocol';
import type {
  DistributedRuntime,
  EventPlane,
  EventPublisher,
  RawHandler,
} from '@dynamo-ts/runtime';

import { WORKER_ENDPOINT } from '../testing-cluster.ts';
import type { TestCluster } from '../testing-cluster.ts';

/** Tokens per block of test workers. */
export const TEST_BLOCK_SIZE = 16;

/** Settings of a {@link TestKvWorker}. */
export interface TestKvWorkerOptions {
  /** Name on its model card. @default 'test' */
  readonly model?: string;
  /** @default 1 */
  readonly dpSize?: number;
  /** @default 1000 */
  readonly totalKvBlocks?: number;
  /** @default true */
  readonly kvEvents?: boolean;
  readonly taints?: readonly string[];
  /** Tokens per block, by its card and in its events. @default {@link TEST_BLOCK_SIZE} */
  readonly cardBlockSize?: number;
  /** Has an endpoint for index queries. @default true */
  readonly serves?: boolean;
  /** Answers requests. @default one empty item */
  readonly handler?: RawHandler;
  /** Recent events that it remembers. @default 64 */
  readonly ringEvents?: number;
}

/** Block hashes of a prompt, and what the worker's engine calls the blocks. */
export interface TestPrompt {
  readonly tokenIds: Uint32Array;
  readonly local: BigUint64Array;
  readonly engine: BigUint64Array;
}

/** Which blocks of a prompt, on which rank. */
export interface TestPlace {
  /** Position of the first block. @default 0 */
  readonly from?: number;
  /** @default 0 */
  readonly dpRank?: number;
}

/** A prompt of so many blocks; the same seed gives the same prompt, and longer ones begin with shorter ones. */
export function testPrompt(seed: number, blocks: number): TestPrompt {
  const count = blocks * TEST_BLOCK_SIZE;
  const tokenIds = Uint32Array.from({ length: count }, (_, index) => seed * 100_000 + index);
  const local = computeBlockHashForSeq(tokenIds, TEST_BLOCK_SIZE);
  let parent = 0n;
  const engine = local.map((hash) => (parent = BigInt.asUintN(64, parent * 31n + hash)));
  return { tokenIds, local, engine };
}

/** See the file comment. */
export class TestKvWorker {
  readonly id: InstanceId;
  readonly runtime: DistributedRuntime;
  /** Index queries are not answered while false. */
  answersQueries = true;
  /** Index queries so far. */
  queries = 0;
  readonly #options: TestKvWorkerOptions;
  readonly #publisher: EventPublisher;
  #epoch = 1n;
  #cache: LocalKvIndexer;

  private constructor(
    runtime: DistributedRuntime,
    publisher: EventPublisher,
    options: TestKvWorkerOptions,
  ) {
    this.id = runtime.instanceId;
    this.runtime = runtime;
    this.#publisher = publisher;
    this.#options = options;
    this.#cache = this.#emptyCache();
  }

  /** Adds a worker that the cluster's caller sees. */
  static async start(
    cluster: TestCluster,
    options: TestKvWorkerOptions = {},
  ): Promise<TestKvWorker> {
    const { runtime } = await cluster.worker(options.handler ?? answerOnce);
    const { namespace, component } = parseEndpointPath(WORKER_ENDPOINT);
    const topic = { scope: { namespace, component }, topic: KV_EVENTS_TOPIC };
    const publisher = await runtime.events.publisher(topic, runtime.instanceId);
    const worker = new TestKvWorker(runtime, publisher, options);
    if (options.serves !== false) await worker.#serveQueries();
    await worker.#publishCard();
    return worker;
  }

  /** Stores blocks `from` to the end of a prompt. */
  store({ local, engine }: TestPrompt, { from = 0, dpRank = 0 }: TestPlace = {}): void {
    this.#cache.stored(dpRank, 'device', {
      parent: from > 0 ? engine[from - 1] : undefined,
      blockHashes: engine.slice(from),
      tokensHashes: local.slice(from),
    });
  }

  /** Gives up blocks `from` to the end of a prompt. */
  remove({ engine }: TestPrompt, { from = 0, dpRank = 0 }: TestPlace = {}): void {
    this.#cache.removed(dpRank, 'device', engine.slice(from));
  }

  /** Gives up everything. */
  clear(): void {
    this.#cache.clear();
  }

  /** Its engine's publisher starts again with an empty cache. */
  async restart(): Promise<void> {
    await this.#cache.close();
    this.#epoch += 1n;
    this.#cache = this.#emptyCache();
  }

  /** Events since the last call, not sent. */
  take(): readonly Uint8Array[] {
    const batches: Uint8Array[] = [];
    for (let batch = this.#cache.flush(); batch !== undefined; batch = this.#cache.flush())
      batches.push(batch);
    return batches;
  }

  /** Sends events. */
  send(batches: readonly Uint8Array[] = this.take()): void {
    for (const batch of batches) this.#publisher.publish(batch);
  }

  async #serveQueries(): Promise<void> {
    const { namespace, component } = parseEndpointPath(WORKER_ENDPOINT);
    const endpoint = this.runtime.namespace(namespace).component(component);
    await endpoint.endpoint(WORKER_KV_QUERY_ENDPOINT).serveRaw(async ({ payload }, sink) => {
      this.queries += 1;
      if (!this.answersQueries) throw new Error('no answer today');
      for (const item of await this.#cache.query(payload)) sink.write(item);
      sink.end();
    });
  }

  async #publishCard(): Promise<void> {
    const path = parseEndpointPath(WORKER_ENDPOINT);
    const { dpSize = 1, totalKvBlocks = 1000, kvEvents = true, taints = [] } = this.#options;
    const record = ModelRecord.fromPartial({
      type: 'Model',
      ...path,
      instanceId: this.id,
      card: {
        displayName: this.#options.model ?? 'test',
        kvCacheBlockSize: this.#options.cardBlockSize ?? TEST_BLOCK_SIZE,
        runtimeConfig: {
          totalKvBlocks,
          maxNumBatchedTokens: 8192,
          dataParallelSize: dpSize,
          kvEvents,
          taints: [...taints],
        },
      },
    });
    const key = modelCardKey(path, this.id);
    const value = new TextEncoder().encode(JSON.stringify(ModelRecord.toJSON(record)));
    await this.runtime.discovery.register({ key, value });
  }

  #emptyCache(): LocalKvIndexer {
    return new LocalKvIndexer({
      workerId: this.id,
      epoch: this.#epoch,
      blockSize: this.#options.cardBlockSize ?? TEST_BLOCK_SIZE,
      dpStart: 0,
      ringEvents: this.#options.ringEvents ?? 64,
    });
  }
}

const answerOnce: RawHandler = (_request, sink) => {
  sink.write(new Uint8Array());
  sink.end();
};

/** A plane whose subscribers do not get the events that `isLost` takes away. */
export function lossyEvents(
  plane: EventPlane,
  isLost: (event: EventEnvelope) => boolean,
): EventPlane {
  return {
    backend: plane.backend,
    publisher: (topic, publisherId) => plane.publisher(topic, publisherId),
    subscribe: (topic, options) => {
      const subscription = plane.subscribe(topic, options);
      return {
        ready: (abort) => subscription.ready(abort),
        onRenewed: (listener) => subscription.onRenewed(listener),
        async *[Symbol.asyncIterator]() {
          for await (const event of subscription) if (!isLost(event)) yield event;
        },
      };
    },
    close: () => plane.close(),
    [Symbol.asyncDispose]: () => plane.close(),
  };
}
