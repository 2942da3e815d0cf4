/**
 * Placement for other processes, whatever carries the calls: one {@link LocalRouter} per endpoint that is asked for.
 */
import { DynamoError, asInstanceId, instanceIdHex, onAbort, toDynamoError } from '@dynamo-ts/base';
import { RouteResponse, hashesFromBytes } from '@dynamo-ts/protocol';
import type { FreeRequest, PrefillDoneRequest, RouteRequest } from '@dynamo-ts/protocol';
import type { Client, Context, DistributedRuntime } from '@dynamo-ts/runtime';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import { LocalRouter } from './local-router.ts';
import { parseRouterMode } from './router-mode.ts';
import type { RouterMode } from './router-mode.ts';

/** Settings of a {@link RouterService}. */
export interface RouterServiceOptions {
  readonly runtime: DistributedRuntime;
  /** @default 'round-robin' */
  readonly mode?: RouterMode | undefined;
  readonly bookingExpiryMs?: number | undefined;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
}

interface RoutedEndpoint {
  readonly client: Client;
  readonly router: LocalRouter;
}

/** A caller that makes up endpoint names must not make the process grow. */
const MOST_ENDPOINTS = 64;

/** Routes for any endpoint by its path. */
export class RouterService implements AsyncDisposable {
  readonly #options: RouterServiceOptions;
  readonly #endpoints = new Map<string, Promise<RoutedEndpoint>>();
  readonly #callers = new WeakSet<AbortSignal>();
  #closing: Promise<void> | undefined;

  constructor(options: RouterServiceOptions) {
    this.#options = options;
  }

  /** Learns the instances of an endpoint before the first request for it. */
  async prepare(endpoint: string): Promise<void> {
    await this.#routed(endpoint);
  }

  /**
   * Picks an instance and books the request on it. The booking also goes when `caller`, the signal of the caller's
   * connection, aborts.
   *
   * @throws `backend.unavailable`, `capacity.pool_exhausted`, or `request.invalid` for an endpoint or mode that cannot be
   */
  async route(
    request: RouteRequest,
    context: Context,
    caller?: AbortSignal,
  ): Promise<RouteResponse> {
    if (caller !== undefined) this.#follow(caller);
    const { router } = await this.#routed(request.endpoint);
    const { pinnedInstanceId } = request;
    const placement = await router.route(
      {
        bookingId: request.requestId,
        blockHashes: hashesFromBytes(request.blockHashesLe),
        blockSize: request.blockSize,
        promptTokens: request.promptTokens,
        excluded: new Set(request.excludedInstanceIds.map(asInstanceId)),
        pinned: pinnedInstanceId === undefined ? undefined : asInstanceId(pinnedInstanceId),
        mode: requestedMode(request.routerMode),
        owner: caller,
        advisory: request.advisory,
      },
      context,
    );
    this.#options.logger.info('request is placed', {
      trace_id: context.trace?.traceId,
      span_id: context.trace?.spanId,
      request_id: context.id,
      worker_id: instanceIdHex(placement.instanceId),
      reason: placement.reason,
    });
    return RouteResponse.create({ ...placement, decisionId: placement.decisionId ?? '' });
  }

  /** First token seen. Unknown requests are ignored. */
  async prefillDone(request: PrefillDoneRequest): Promise<void> {
    (await this.#known(request.endpoint))?.router.prefillDone(request.requestId);
  }

  /** The request ended. Idempotent. */
  async free(request: FreeRequest): Promise<void> {
    (await this.#known(request.endpoint))?.router.free(request.requestId);
  }

  /** Stops following instances. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A frontend that died gives nothing back. */
  #follow(caller: AbortSignal): void {
    if (this.#callers.has(caller)) return;
    this.#callers.add(caller);
    onAbort(caller, () => {
      for (const opening of this.#endpoints.values())
        opening.then(({ router }) => router.freeOwned(caller)).catch(() => undefined);
    });
  }

  #known(endpoint: string): Promise<RoutedEndpoint> | undefined {
    return this.#endpoints.get(endpoint);
  }

  #routed(endpoint: string): Promise<RoutedEndpoint> {
    const known = this.#endpoints.get(endpoint);
    if (known !== undefined) return known;
    if (this.#endpoints.size >= MOST_ENDPOINTS) {
      throw new DynamoError(
        'request.invalid',
        `this router already serves ${MOST_ENDPOINTS} endpoints and takes no further one`,
      );
    }
    const opening = this.#open(endpoint);
    this.#endpoints.set(endpoint, opening);
    opening.catch(() => this.#endpoints.delete(endpoint));
    return opening;
  }

  async #open(endpoint: string): Promise<RoutedEndpoint> {
    const { runtime, ...settings } = this.#options;
    const client = await parsedEndpoint(runtime, endpoint).client();
    const routerId = runtime.instanceId;
    return { client, router: new LocalRouter({ ...settings, instances: client, routerId }) };
  }

  async #close(): Promise<void> {
    const opened = await Promise.allSettled(this.#endpoints.values());
    this.#endpoints.clear();
    for (const endpoint of opened)
      if (endpoint.status === 'fulfilled') await endpoint.value.client.close();
  }
}

function parsedEndpoint(
  runtime: DistributedRuntime,
  endpoint: string,
): ReturnType<DistributedRuntime['endpoint']> {
  try {
    return runtime.endpoint(endpoint);
  } catch (error) {
    throw invalid(error);
  }
}

function requestedMode(text: string): RouterMode | undefined {
  if (text === '') return undefined;
  try {
    return parseRouterMode(text);
  } catch (error) {
    throw invalid(error);
  }
}

/** What is a wrong configuration here is a wrong request when a peer sends it. */
function invalid(error: unknown): DynamoError {
  return new DynamoError('request.invalid', toDynamoError(error).message, { cause: error });
}
