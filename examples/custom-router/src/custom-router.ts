// A router of one's own: who gets a request is decided here, from what the workers hold and how busy they are.
import { DynamoError } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import { ComponentKvIndexer, KvMetricsAggregator } from '@dynamo-ts/routing';
import type { Client, DistributedRuntime } from '@dynamo-ts/runtime';

import { BLOCK_SIZE, ENDPOINT } from './endpoint.ts';

/** A worker, and what speaks for it. */
export interface Candidate {
  readonly workerId: InstanceId;
  /** Share of the prompt that it has in cache. */
  readonly hitRatio: number;
  /** Share of its cache that running requests hold. */
  readonly usageRatio: number;
  /** Requests waiting in its engine, as a share of the most that wait anywhere. */
  readonly waitingRatio: number;
  readonly score: number;
}

/** Chooses by the formula of the first KV router: twice the hit rate, less usage, less waiting (RP 4.3). */
export class CustomRouter implements AsyncDisposable {
  readonly #client: Client;
  readonly #indexer: ComponentKvIndexer;
  readonly #metrics: KvMetricsAggregator;
  #turn = 0;

  private constructor(client: Client, indexer: ComponentKvIndexer, metrics: KvMetricsAggregator) {
    this.#client = client;
    this.#indexer = indexer;
    this.#metrics = metrics;
  }

  /** A router that knows what the workers hold now. */
  static async connect(runtime: DistributedRuntime): Promise<CustomRouter> {
    const client = await runtime.endpoint(formatEndpointPath(ENDPOINT)).client();
    const options = { runtime, path: ENDPOINT, blockSize: BLOCK_SIZE };
    const indexer = await ComponentKvIndexer.follow(options);
    const metrics = await KvMetricsAggregator.subscribe(runtime, ENDPOINT);
    await indexer.ready();
    return new CustomRouter(client, indexer, metrics);
  }

  /** Every worker, best first; equal ones take turns. */
  rank(tokenIds: Uint32Array): readonly Candidate[] {
    this.#turn += 1;
    const scores = this.#indexer.findMatchesForRequest(tokenIds).scores;
    const free = this.#client.free();
    const start = this.#turn % Math.max(1, free.length);
    const workers = [...free.slice(start), ...free.slice(0, start)];
    const waiting = (id: InstanceId): number =>
      this.#metrics.getWorkerMetrics(id)?.numRequestsWaiting ?? 0;
    const mostWaiting = Math.max(1, ...workers.map(waiting));
    const candidates = workers.map((workerId): Candidate => {
      const hitRatio = ((scores.get(workerId) ?? 0) * BLOCK_SIZE) / tokenIds.length;
      const usageRatio = this.#metrics.getWorkerMetrics(workerId)?.gpuCacheUsageRatio ?? 0;
      const waitingRatio = waiting(workerId) / mostWaiting;
      const score = 2 * hitRatio - usageRatio - waitingRatio;
      return { workerId, hitRatio, usageRatio, waitingRatio, score };
    });
    return candidates.sort((one, other) => other.score - one.score);
  }

  /** The worker that a request should go to. @throws `backend.unavailable` when there is none */
  choose(tokenIds: Uint32Array): Candidate {
    const [best] = this.rank(tokenIds);
    if (best === undefined) throw new DynamoError('backend.unavailable', 'there is no worker');
    return best;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#metrics.close();
    await this.#indexer.close();
    await this.#client.close();
  }
}
