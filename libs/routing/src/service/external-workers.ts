/**
 * Engines that register nowhere themselves: whoever starts them tells the router, which listens to their KV events. They
 * live beside the workers that discovery knows. A registration belongs to the router process that took it.
 */
import { DynamoError, asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { RegisterWorkerRequest } from '@dynamo-ts/protocol';

import type { ModelBlocks } from '../kv/fleet/endpoint-models.ts';
import { LARGEST_RANK, MOST_RANKS } from '../kv/fleet/worker-facts.ts';
import type { EndpointRouter } from './endpoint-router.ts';

/** Listens to the KV events of one engine and hands every encoded `KvEventBatch` to `sink`. */
export type OpenEngineFeed = (
  worker: RegisterWorkerRequest,
  sink: (payload: Uint8Array) => void,
) => Promise<EngineFeedHandle>;

/** Listens to one engine. */
export interface EngineFeedHandle extends AsyncDisposable {
  /** Answers an encoded `WorkerKvQueryRequest` with encoded `WorkerKvQueryResponse` items. */
  query(request: Uint8Array): Promise<readonly Uint8Array[]>;
}

interface ExternalEntry {
  readonly request: RegisterWorkerRequest;
  readonly router: EndpointRouter;
  readonly feed: EngineFeedHandle | undefined;
}

/** The engines that were registered with this process. */
export class ExternalWorkers implements AsyncDisposable {
  readonly #openFeed: OpenEngineFeed | undefined;
  readonly #entries = new Map<string, ExternalEntry>();

  constructor(openFeed: OpenEngineFeed | undefined) {
    this.#openFeed = openFeed;
  }

  /**
   * Adds an engine, or replaces it: its index begins anew.
   *
   * @throws `request.invalid` for ranks or addresses that cannot be
   */
  async register(request: RegisterWorkerRequest, router: EndpointRouter): Promise<void> {
    const worker = checked(request, router);
    await this.unregister(request);
    const workerId = asInstanceId(worker.workerId);
    const hasEvents = Object.keys(worker.kvEventsEndpoints).length > 0;
    const openFeed = hasEvents ? this.#openFeed : undefined;
    // What comes before the router knows the worker is in the feed's own index, which the router asks at once.
    const feed = await openFeed?.(worker, (payload) => {
      router.applyEvents(payload);
    });
    router.addWorker(
      {
        workerId,
        dpStart: worker.dpStartRank,
        dpSize: worker.dpSize,
        totalKvBlocks: worker.totalKvBlocks,
        maxBatchedTokens: worker.maxNumBatchedTokens,
        kvEvents: feed !== undefined,
        taints: worker.taints,
        models: worker.modelName === '' ? [] : [worker.modelName],
      },
      feed && ((request) => feed.query(request)),
    );
    this.#entries.set(keyOf(worker), { request: worker, router, feed });
  }

  /** Takes an engine away. Idempotent. @returns whether it was there */
  async unregister(worker: Pick<RegisterWorkerRequest, 'endpoint' | 'workerId'>): Promise<boolean> {
    const key = keyOf(worker);
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#entries.delete(key);
    await entry.feed?.[Symbol.asyncDispose]();
    entry.router.removeWorker(asInstanceId(worker.workerId));
    return true;
  }

  /** Registered engines of one endpoint, or of all when it is empty. */
  list(endpoint: string): RegisterWorkerRequest[] {
    const all = [...this.#entries.values()].map(({ request }) => request);
    return endpoint === '' ? all : all.filter((worker) => worker.endpoint === endpoint);
  }

  /** Models of the engines of an endpoint. */
  modelsOf(endpoint: string): readonly ModelBlocks[] {
    if (this.#entries.size === 0) return [];
    return this.list(endpoint).map(({ modelName, blockSize }) => ({ model: modelName, blockSize }));
  }

  /** Ids of the engines of an endpoint, which no request plane reaches. */
  idsOf(endpoint: string): readonly InstanceId[] {
    if (this.#entries.size === 0) return [];
    return this.list(endpoint).map(({ workerId }) => asInstanceId(workerId));
  }

  /** Stops listening. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const { feed } of entries) await feed?.[Symbol.asyncDispose]();
  }
}

function keyOf({
  endpoint,
  workerId,
}: Pick<RegisterWorkerRequest, 'endpoint' | 'workerId'>): string {
  return `${endpoint} ${workerId}`;
}

function checked(request: RegisterWorkerRequest, router: EndpointRouter): RegisterWorkerRequest {
  const dpSize = request.dpSize === 0 ? 1 : request.dpSize;
  if (dpSize > MOST_RANKS) {
    throw new DynamoError('request.invalid', `dp_size is ${dpSize}; at most ${MOST_RANKS} ranks`);
  }
  if (request.dpStartRank > LARGEST_RANK)
    throw new DynamoError('request.invalid', `dp_start_rank must be at most ${LARGEST_RANK}`);
  if (router.isDiscovered(asInstanceId(request.workerId))) {
    throw new DynamoError(
      'request.conflict',
      `worker ${request.workerId} is an instance of ${request.endpoint} already`,
    );
  }
  const { blockSize } = router;
  if (request.blockSize !== 0 && request.blockSize !== blockSize) {
    throw new DynamoError(
      'request.conflict',
      `worker ${request.workerId} has blocks of ${request.blockSize} tokens, the others of ${request.endpoint} have ${blockSize}`,
    );
  }
  const { kvEventsEndpoints, replayEndpoints } = request;
  for (const rank of Object.keys({ ...kvEventsEndpoints, ...replayEndpoints }).map(Number)) {
    if (rank < request.dpStartRank || rank >= request.dpStartRank + dpSize) {
      throw new DynamoError(
        'request.invalid',
        `worker ${request.workerId} has no rank ${rank}: its ranks are ${request.dpStartRank} to ${request.dpStartRank + dpSize - 1}`,
      );
    }
  }
  return RegisterWorkerRequest.create({
    ...request,
    dpSize,
    blockSize,
  });
}
