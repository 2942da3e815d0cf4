/**
 * Publishes the KV events of a worker that is not fronted by the shim: keeps the worker's own index, sends changes to the
 * routers, and answers routers that missed some (RP 3.4).
 */
import type { InstanceId } from '@dynamo-ts/base';
import { LocalKvIndexer, computeBlockHashForSeq } from '@dynamo-ts/kv';
import type { BlockHashOptions, KvTier } from '@dynamo-ts/kv';
import { KV_EVENTS_TOPIC, WORKER_KV_QUERY_ENDPOINT } from '@dynamo-ts/protocol';
import type {
  Component,
  DistributedRuntime,
  EventPublisher,
  ServedEndpoint,
} from '@dynamo-ts/runtime';

/** Settings of a {@link KvEventPublisher}. */
export interface KvEventPublisherOptions {
  readonly runtime: DistributedRuntime;
  /** The worker's component. */
  readonly component: Component;
  /** Tokens per block; that of the worker's model card. */
  readonly kvBlockSize: number;
}

/** Blocks that can be reused from now on. */
export interface PublishedBlocks extends BlockHashOptions {
  /** The engine's own hashes of the blocks, in order; what it calls them when it gives them up. */
  readonly blockHashes: BigUint64Array;
  /** Tokens of all the blocks, one block after the other; hashed here. */
  readonly tokenIds?: Uint32Array | undefined;
  /** Local hashes of the blocks, instead of their tokens. */
  readonly tokensHashes?: BigUint64Array | undefined;
  /** The engine's hash of the block before the first one; absent at the start of a prompt. */
  readonly parentHash?: bigint | undefined;
  /** @default 0 */
  readonly dpRank?: number | undefined;
  /** @default 'device' */
  readonly tier?: KvTier | undefined;
}

/** Publishes one worker's KV events. The worker's model card must say `kvEvents`. */
export class KvEventPublisher implements AsyncDisposable {
  readonly workerId: InstanceId;
  readonly kvBlockSize: number;
  readonly #index: LocalKvIndexer;
  readonly #publisher: EventPublisher;
  #served: ServedEndpoint | undefined;
  #flushing: NodeJS.Immediate | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: KvEventPublisherOptions, publisher: EventPublisher) {
    this.workerId = options.runtime.instanceId;
    this.kvBlockSize = options.kvBlockSize;
    this.#publisher = publisher;
    this.#index = new LocalKvIndexer({
      workerId: this.workerId,
      epoch: publisher.epoch,
      blockSize: options.kvBlockSize,
      dpStart: 0,
    });
  }

  /** Begins to answer routers. Call it before the worker's model is registered. */
  static async create(options: KvEventPublisherOptions): Promise<KvEventPublisher> {
    const { runtime, component } = options;
    const scope = { namespace: component.namespace, component: component.name };
    const topic = { scope, topic: KV_EVENTS_TOPIC };
    const source = await runtime.events.publisher(topic, runtime.instanceId);
    const publisher = new KvEventPublisher(options, source);
    await publisher.#serve(component);
    return publisher;
  }

  /** Blocks are held. @throws `request.invalid` when there are not as many tokens or hashes as blocks */
  publishStored(blocks: PublishedBlocks): void {
    const { dpRank = 0, tier = 'device', blockHashes, parentHash: parent, tokenIds } = blocks;
    const tokensHashes =
      blocks.tokensHashes ??
      computeBlockHashForSeq(tokenIds ?? new Uint32Array(), this.kvBlockSize, blocks);
    this.#index.stored(dpRank, tier, { parent, blockHashes, tokensHashes });
    this.#flushSoon();
  }

  /** Blocks are not held any more. */
  publishRemoved(
    blockHashes: BigUint64Array,
    place: { readonly dpRank?: number; readonly tier?: KvTier } = {},
  ): void {
    this.#index.removed(place.dpRank ?? 0, place.tier ?? 'device', blockHashes);
    this.#flushSoon();
  }

  /** One rank, or all, hold nothing any more. */
  clear(dpRank?: number): void {
    this.#index.clear(dpRank);
    this.#flushSoon();
  }

  /** Sends what is left and stops. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(component: Component): Promise<void> {
    const endpoint = component.endpoint(WORKER_KV_QUERY_ENDPOINT);
    this.#served = await endpoint.serveRaw(async ({ payload }, sink) => {
      for (const item of await this.#index.query(payload))
        if (!sink.write(item)) await sink.drained();
      sink.end();
    });
  }

  /** What one turn of the event loop changes leaves together. */
  #flushSoon(): void {
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    for (let batch = this.#index.flush(); batch !== undefined; batch = this.#index.flush())
      this.#publisher.publish(batch);
  }

  async #close(): Promise<void> {
    clearImmediate(this.#flushing);
    this.#flush();
    await this.#served?.close();
    await this.#publisher.close();
    await this.#index.close();
  }
}
