/**
 * The router as an object that programs use: who holds a prompt, what every worker would have to do, which one is best,
 * and a request sent there. The frontend and the router service use its parts instead.
 */
import { asInstanceId, createRequestId } from '@dynamo-ts/base';
import type { AbortOptions, InstanceId } from '@dynamo-ts/base';
import { OverlapScores, computeBlockHashForSeq } from '@dynamo-ts/kv';
import type { BlockHashOptions, RankLoads, RouterEvent } from '@dynamo-ts/kv';
import {
  GenerateRequest,
  GenerateResponse,
  QueryIndexResponse,
  formatEndpointPath,
  tokenIdsFromBytes,
} from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { Client, DistributedRuntime } from '@dynamo-ts/runtime';

import type { DispatchedStream } from '../booked-stream.ts';
import { Dispatcher } from '../dispatcher.ts';
import type { KvRouterSettings } from '../kv/kv-router-settings.ts';
import { KvRouter } from '../kv/kv-router.ts';
import type { Placement, PlacementWishes } from '../placement-router.ts';
import { routerEventsOf } from './router-events.ts';

/** Settings of a {@link KvPushRouter}. */
export interface KvPushRouterOptions {
  readonly runtime: DistributedRuntime;
  /** The workers' endpoint. */
  readonly path: EndpointPath;
  /** Tokens per block of its models. */
  readonly blockSize: number;
  readonly settings?: Partial<KvRouterSettings> | undefined;
}

/** What a prompt's place depends on besides its tokens. */
export interface RouteOptions extends BlockHashOptions, PlacementWishes {
  /** The only worker that may be chosen. */
  readonly workerId?: InstanceId | undefined;
}

/** Options of {@link KvPushRouter.generate}. */
export interface GenerateOptions extends RouteOptions {
  /** Its stop and kill reach the worker. @default a fresh one */
  readonly context?: Context | undefined;
}

/** What a worker would have to do if a request came to it. */
export interface PotentialLoad {
  readonly workerId: InstanceId;
  readonly dpRank: number;
  readonly potentialPrefillTokens: number;
  readonly potentialDecodeBlocks: number;
  readonly activeRequests: number;
}

/** See the file comment. */
export class KvPushRouter implements AsyncDisposable {
  readonly blockSize: number;
  readonly #client: Client;
  readonly #router: KvRouter;
  readonly #dispatcher: Dispatcher;

  private constructor(options: KvPushRouterOptions, client: Client, router: KvRouter) {
    const { logger, metrics, tracer } = options.runtime;
    this.blockSize = options.blockSize;
    this.#client = client;
    this.#router = router;
    this.#dispatcher = new Dispatcher({ workers: client, router, logger, metrics, tracer });
  }

  /** Finds the workers. Their caches come in the background, see {@link ready}. */
  static async connect(options: KvPushRouterOptions): Promise<KvPushRouter> {
    const { runtime, path } = options;
    const { logger, metrics } = runtime;
    const client = await runtime.endpoint(formatEndpointPath(path)).client();
    try {
      const router = await KvRouter.connect({ ...options, logger, metrics });
      return new KvPushRouter(options, client, router);
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** Resolves when the caches of the workers that there are are known. */
  async ready(options: AbortOptions = {}): Promise<void> {
    await this.#router.ready(options);
  }

  /**
   * Sends a request to the best worker, and to the next when that fails before its first token.
   *
   * @throws `backend.unavailable`, `capacity.pool_exhausted`, what the worker throws
   */
  async *generate(
    request: Partial<GenerateRequest> & Pick<GenerateRequest, 'tokenIdsLe'>,
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerateResponse, void> {
    const { context = new Context(), workerId, loraName, cacheNamespace, ...wishes } = options;
    const tokenIds = tokenIdsFromBytes(request.tokenIdsLe);
    const stream = await this.#dispatcher.dispatch({
      payload: GenerateRequest.encode(GenerateRequest.fromPartial(request)).finish(),
      context,
      blockHashes: this.#hashes(tokenIds, { loraName, cacheNamespace }),
      blockSize: this.blockSize,
      promptTokens: tokenIds.length,
      pinned: workerId,
      wishes,
    });
    yield* responsesOf(stream);
  }

  /** The worker that a request would go to; with `bookAs` the request is booked there until {@link free}. */
  async bestWorker(
    tokenIds: Uint32Array,
    options: RouteOptions & { readonly bookAs?: string | undefined } = {},
  ): Promise<Placement> {
    const { bookAs, workerId, loraName, cacheNamespace, ...wishes } = options;
    const request = {
      ...wishes,
      bookingId: bookAs ?? createRequestId(),
      blockHashes: this.#hashes(tokenIds, { loraName, cacheNamespace }),
      blockSize: this.blockSize,
      promptTokens: tokenIds.length,
      excluded: new Set<InstanceId>(),
      pinned: workerId,
      advisory: bookAs === undefined,
    };
    return this.#router.route(request, new Context());
  }

  /** A request that was booked by {@link bestWorker} has its first token. */
  markPrefillComplete(bookedAs: string): void {
    this.#router.prefillDone(bookedAs);
  }

  /** A request that was booked by {@link bestWorker} has ended. Idempotent. */
  free(bookedAs: string): void {
    this.#router.free(bookedAs);
  }

  /** Who holds how much of a prompt. */
  getOverlapScores(tokenIds: Uint32Array, options: BlockHashOptions = {}): OverlapScores {
    const blockHashes = this.#hashes(tokenIds, options);
    const { workerIds, dpRanks, blocks } = this.#router.overlap({ blockHashes });
    const ranks = Array.from(workerIds, (id, index) => ({
      workerId: asInstanceId(id),
      dpRank: dpRanks[index] ?? 0,
      device: blocks[index * 3] ?? 0,
      host: blocks[index * 3 + 1] ?? 0,
      disk: blocks[index * 3 + 2] ?? 0,
      external: 0,
    }));
    return new OverlapScores(ranks.filter(({ device, host, disk }) => device + host + disk > 0));
  }

  /** What each worker would have to do if a request came to it. */
  getPotentialLoads(
    tokenIds: Uint32Array,
    options: BlockHashOptions = {},
  ): readonly PotentialLoad[] {
    const blockHashes = this.#hashes(tokenIds, options);
    const promptTokens = tokenIds.length;
    return loadsOf(this.#router.potentialLoads({ blockHashes, promptTokens }));
  }

  /** Events that would build the index again, parents first. */
  async dumpEvents(): Promise<readonly RouterEvent[]> {
    return routerEventsOf(QueryIndexResponse.decode(await this.#router.readIndex()));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#router.close();
    await this.#client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #hashes(tokenIds: Uint32Array, options: BlockHashOptions): BigUint64Array {
    return computeBlockHashForSeq(tokenIds, this.blockSize, options);
  }
}

async function* responsesOf(stream: DispatchedStream): AsyncGenerator<GenerateResponse, void> {
  try {
    for (;;) {
      const batch = await stream.nextBatch();
      if (batch === undefined) return;
      for (const item of batch) {
        const response = GenerateResponse.decode(item);
        const cachedTokens = response.usage?.cachedTokens;
        if (cachedTokens !== undefined) stream.report({ cachedTokens });
        yield response;
      }
    }
  } finally {
    stream.cancel();
  }
}

function loadsOf(loads: RankLoads): readonly PotentialLoad[] {
  return Array.from(loads.workerIds, (id, index) => ({
    workerId: asInstanceId(id),
    dpRank: loads.dpRanks[index] ?? 0,
    potentialPrefillTokens: loads.prefillTokens[index] ?? 0,
    potentialDecodeBlocks: loads.decodeBlocks[index] ?? 0,
    activeRequests: loads.activeRequests[index] ?? 0,
  }));
}
