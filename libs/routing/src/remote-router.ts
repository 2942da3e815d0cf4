/**
 * Placement by the router service: asks one replica, the next when it does not answer, and places in this process when
 * none does, because a request placed less well is better than a refused one. Prompts are sent as block hashes only.
 */
import { DynamoError, TaskGroup, asInstanceId, hasCode, instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import {
  FreeRequest,
  PrefillDoneRequest,
  RouteRequest,
  RouteResponse,
  formatEndpointPath,
  hashesToBytes,
} from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { Client, DistributedRuntime } from '@dynamo-ts/runtime';
import type { BoundCounter, Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { InstanceView, LocalRouter } from './local-router.ts';
import { DISPATCH_METRICS } from './metrics.ts';
import type { Placement, PlacementRequest, PlacementRouter } from './placement-router.ts';
import { ROUTER_COMPONENT, ROUTER_ENDPOINTS } from './router-names.ts';

/** Settings of a {@link RemoteRouter}. */
export interface RemoteRouterOptions {
  readonly runtime: DistributedRuntime;
  /** Namespace of the router service. */
  readonly namespace: string;
  /** The workers, as this process sees them: those it cannot use are named to the router. */
  readonly instances: InstanceView;
  /** Places while no router answers. */
  readonly fallback: LocalRouter;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  /** Longest wait in milliseconds for one replica's answer. @default 1000 */
  readonly timeoutMs?: number | undefined;
}

type RouterClients = Readonly<Record<keyof typeof ROUTER_ENDPOINTS, Client>>;

/** {@link PlacementRouter} that asks the router service. */
export class RemoteRouter implements PlacementRouter {
  readonly #options: RemoteRouterOptions;
  readonly #clients: RouterClients;
  readonly #endpoint: string;
  readonly #timeoutMs: number;
  readonly #fallbacks: BoundCounter | undefined;
  /** Which replica holds a booking; those of the fallback are not here. */
  readonly #replicaOf = new Map<string, InstanceId>();
  readonly #notices: TaskGroup;
  #closing: Promise<void> | undefined;

  private constructor(options: RemoteRouterOptions, clients: RouterClients) {
    this.#options = options;
    this.#clients = clients;
    this.#endpoint = formatEndpointPath(options.instances.path);
    this.#timeoutMs = options.timeoutMs ?? 1000;
    this.#fallbacks = options.metrics
      ?.counter(DISPATCH_METRICS.placementFallbackTotal)
      .bind({ dynamo_endpoint: this.#endpoint });
    this.#notices = new TaskGroup({
      name: 'router notices',
      onError: (error, task) => {
        options.logger.debug('a router was not told; the booking expires there', { task, error });
      },
    });
  }

  /** Finds the router service; there need not be one yet. */
  static async connect(options: RemoteRouterOptions): Promise<RemoteRouter> {
    const component = options.runtime.namespace(options.namespace).component(ROUTER_COMPONENT);
    const [route, prefillDone, free] = await Promise.all([
      component.endpoint(ROUTER_ENDPOINTS.route).client(),
      component.endpoint(ROUTER_ENDPOINTS.prefillDone).client(),
      component.endpoint(ROUTER_ENDPOINTS.free).client(),
    ]);
    return new RemoteRouter(options, { route, prefillDone, free });
  }

  async route(request: PlacementRequest, context: Context): Promise<Placement> {
    const payload = RouteRequest.encode(this.#wireRequest(request)).finish();
    const failed = new Set<InstanceId>();
    for (;;) {
      const replica = this.#nextReplica(failed);
      if (replica === undefined) return this.#fallBack(request, context);
      try {
        return await this.#ask(replica, request, payload, context);
      } catch (error) {
        // It may have booked before it fell silent, or before its answer could reach the client that left.
        if (context.isKilled() || hasCode(error, 'transport.timeout'))
          this.#notify('free', replica, request.bookingId);
        if (!isReplicaFailure(error) || context.isKilled()) throw error;
        failed.add(replica);
        this.#onReplicaFailure(replica, error);
      }
    }
  }

  prefillDone(bookingId: string): void {
    const replica = this.#replicaOf.get(bookingId);
    if (replica === undefined) this.#options.fallback.prefillDone(bookingId);
    else this.#notify('prefillDone', replica, bookingId);
  }

  /** Replicas are told of first tokens and ends only. */
  outputBlock(): void {
    return undefined;
  }

  free(bookingId: string): void {
    const replica = this.#replicaOf.get(bookingId);
    this.#options.fallback.free(bookingId);
    if (replica === undefined) return;
    this.#replicaOf.delete(bookingId);
    this.#notify('free', replica, bookingId);
  }

  /** Waits for notices on their way. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #nextReplica(failed: ReadonlySet<InstanceId>): InstanceId | undefined {
    try {
      return this.#clients.route.select('round-robin', failed);
    } catch (error) {
      if (hasCode(error, 'backend.unavailable', 'capacity.pool_exhausted')) return undefined;
      throw error;
    }
  }

  async #ask(
    replica: InstanceId,
    request: PlacementRequest,
    payload: Uint8Array,
    context: Context,
  ): Promise<Placement> {
    const answer = await this.#call(this.#clients.route, replica, payload, context);
    const placement = RouteResponse.decode(answer);
    if (request.advisory !== true) this.#replicaOf.set(request.bookingId, replica);
    return { ...placement, instanceId: asInstanceId(placement.instanceId) };
  }

  /** One request and its one answer, within the time limit. */
  async #call(
    client: Client,
    replica: InstanceId,
    payload: Uint8Array,
    parent: Context,
  ): Promise<Uint8Array> {
    const call = parent.child();
    const timer = setTimeout(() => {
      call.kill('deadline');
    }, this.#timeoutMs);
    try {
      const response = await client.openRaw(replica, payload, call);
      const answer = (await response.nextBatch())?.[0];
      if (answer !== undefined) return answer;
      throw new DynamoError('transport.disconnected', 'the router ended without an answer');
    } catch (error) {
      if (!call.isKilled() || parent.isKilled()) throw error;
      const message = `router ${instanceIdHex(replica)} did not answer within ${this.#timeoutMs} ms`;
      throw new DynamoError('transport.timeout', message, { cause: error });
    } finally {
      clearTimeout(timer);
      parent.unlinkChild(call);
    }
  }

  #onReplicaFailure(replica: InstanceId, error: DynamoError): void {
    this.#options.logger.warn('router did not answer, asking another', {
      router_id: instanceIdHex(replica),
      error,
    });
    if (error.code === 'transport.timeout') this.#clients.route.reportDown(replica);
  }

  async #fallBack(request: PlacementRequest, context: Context): Promise<Placement> {
    this.#fallbacks?.inc();
    this.#options.logger.debug('no router answers, placing in process', {
      endpoint: this.#endpoint,
    });
    const placement = await this.#options.fallback.route(request, context);
    return { ...placement, reason: `fallback ${placement.reason}` };
  }

  #notify(name: 'prefillDone' | 'free', replica: InstanceId, bookingId: string): void {
    if (this.#notices.signal.aborted) return;
    const message = { requestId: bookingId, endpoint: this.#endpoint };
    const payload =
      name === 'free'
        ? FreeRequest.encode(message).finish()
        : PrefillDoneRequest.encode(message).finish();
    this.#notices.start(name, async () => {
      await this.#call(this.#clients[name], replica, payload, new Context());
    });
  }

  async #close(): Promise<void> {
    await this.#notices.idle();
    await this.#notices.close();
    await Promise.all(Object.values(this.#clients).map((client) => client.close()));
  }

  #wireRequest(request: PlacementRequest): RouteRequest {
    return RouteRequest.create({
      requestId: request.bookingId,
      endpoint: this.#endpoint,
      blockHashesLe: Buffer.from(hashesToBytes(request.blockHashes)),
      blockSize: request.blockSize,
      promptTokens: request.promptTokens,
      excludedInstanceIds: [...request.excluded, ...this.#unusable(request.excluded)],
      pinnedInstanceId: request.pinned,
      advisory: request.advisory ?? false,
      routerMode: request.mode ?? '',
    });
  }

  /** Workers that this process cannot reach or knows to be full; none when that would leave no worker. */
  #unusable(excluded: ReadonlySet<InstanceId>): readonly InstanceId[] {
    const { instances } = this.#options;
    const free = new Set(instances.free());
    const all = instances.instanceIds();
    if (free.size === 0 || free.size === all.length) return [];
    return all.filter((id) => !free.has(id) && !excluded.has(id));
  }
}

/** Whether the replica failed, as opposed to answering that the request cannot be placed. */
function isReplicaFailure(error: unknown): error is DynamoError {
  return hasCode(
    error,
    'transport.cannot_connect',
    'transport.disconnected',
    'transport.timeout',
    'runtime.closed',
    // This replica sees no worker, or has left: another may see one.
    'backend.unavailable',
  );
}
