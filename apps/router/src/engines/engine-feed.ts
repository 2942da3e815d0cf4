/**
 * The KV events of one engine that has no worker of ours in front of it: its ranks' event sockets go into an index of its
 * own, whose batches reach the router's index as those of any worker do. What the router misses it asks of that index.
 */
import { DynamoError, toDynamoError } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { EngineEventSource, endpointOfRank } from '@dynamo-ts/engine-events';
import type { EngineEventAddress } from '@dynamo-ts/engine-events';
import { LocalKvIndexer } from '@dynamo-ts/kv';
import type { KvTier } from '@dynamo-ts/kv';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

/** Settings of an {@link EngineFeed}. */
export interface EngineFeedOptions {
  readonly workerId: InstanceId;
  readonly blockSize: number;
  /** Takes every encoded `KvEventBatch`. */
  readonly sink: (payload: Uint8Array) => void;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
}

/** Blocks that are known from elsewhere than the engine's socket. */
export interface KnownBlocks {
  readonly tier: KvTier;
  readonly parent?: bigint | undefined;
  readonly blockHashes: BigUint64Array;
  readonly tokensHashes: BigUint64Array;
}

/** Listens to one engine. */
export class EngineFeed implements AsyncDisposable {
  readonly #options: EngineFeedOptions;
  readonly #indexer: LocalKvIndexer;
  readonly #sources = new Map<number, EngineEventSource>();
  #isFlushing = false;

  constructor(options: EngineFeedOptions) {
    const { workerId, blockSize } = options;
    this.#options = options;
    // New per start, and never 0.
    const epoch = BigInt(Date.now());
    this.#indexer = new LocalKvIndexer({ workerId, blockSize, epoch, dpStart: 0 });
  }

  /** Ranks that are listened to. */
  get ranks(): readonly number[] {
    return [...this.#sources.keys()].toSorted((a, b) => a - b);
  }

  /** Listens to a rank; another socket of the same rank is let go first. @throws `request.invalid` for an address that is none */
  async listen(address: EngineEventAddress): Promise<void> {
    for (const each of [address.endpoint, address.replayEndpoint])
      if (each !== undefined) checkEventAddress(each);
    await this.silence(address.dpRank);
    const { workerId, logger, metrics } = this.#options;
    const source = new EngineEventSource({
      address,
      sink: this.#indexer,
      onChange: () => {
        this.#flushSoon();
      },
      workerId: workerId.toString(),
      logger,
      metrics,
    });
    try {
      await source.start();
    } catch (cause) {
      await source.close();
      const { message } = toDynamoError(cause);
      throw new DynamoError(
        'request.invalid',
        `cannot listen to ${address.endpoint} (rank ${address.dpRank}): ${message}`,
        { cause },
      );
    }
    this.#sources.set(address.dpRank, source);
  }

  /** Stops listening to a rank, whose blocks go. Idempotent. */
  async silence(dpRank: number): Promise<void> {
    const source = this.#sources.get(dpRank);
    if (source === undefined) return;
    this.#sources.delete(dpRank);
    await source.close();
    this.#indexer.clear(dpRank);
    this.#flush();
  }

  /** Takes blocks that another router knew. */
  store(dpRank: number, { tier, ...blocks }: KnownBlocks): void {
    this.#indexer.stored(dpRank, tier, blocks);
    this.#flushSoon();
  }

  /** Answers an encoded `WorkerKvQueryRequest` as a worker does. */
  readonly query = (request: Uint8Array): Promise<readonly Uint8Array[]> =>
    this.#indexer.query(request);

  /** Idempotent. */
  async close(): Promise<void> {
    const sources = [...this.#sources.values()];
    this.#sources.clear();
    for (const source of sources) await source.close();
    await this.#indexer.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** What one turn of the event loop brought goes on together. */
  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      if (this.#sources.size > 0) this.#flush();
    });
  }

  #flush(): void {
    for (let batch = this.#indexer.flush(); batch !== undefined; batch = this.#indexer.flush())
      this.#options.sink(batch);
  }
}

/** Addresses come from callers here. */
function checkEventAddress(endpoint: string): void {
  try {
    endpointOfRank(endpoint, 0);
  } catch (error) {
    throw new DynamoError('request.invalid', toDynamoError(error).message, { cause: error });
  }
}
