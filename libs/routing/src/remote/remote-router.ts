/**
 * Placement by the router service: asks one replica, the next when it does not answer, and places in this process when
 * none does, because a request placed less well is better than a refused one. Prompts are sent as block hashes only.
 *
 * What concerns a booking goes to the replica that made it. While it holds bookings for this process it is told every few
 * seconds that the process is alive; notices that did not reach a replica which stood still are sent when it answers again.
 */
import { randomUUID } from 'node:crypto';

import { TaskGroup, hasCode, instanceIdHex } from '@dynamo-ts/base';
import type { DynamoError, InstanceId } from '@dynamo-ts/base';
import {
  FreeRequest,
  OutputBlockRequest,
  PrefillDoneRequest,
  RenewRequest,
  RouteRequest,
  RouteResponse,
  formatEndpointPath,
} from '@dynamo-ts/protocol';
import type { Decision } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import type { BoundCounter, Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { InstanceView } from '../local-router.ts';
import { DISPATCH_METRICS } from '../metrics.ts';
import type {
  Placement,
  PlacementRequest,
  PlacementRouter,
  RequestOutcome,
} from '../placement-router.ts';
import type { IndexReport } from '../kv/health/index-health.ts';
import { outcomeMessage, placementOf, routeMessage } from '../service/route-message.ts';
import { ROUTER_COMPONENT } from '../service/router-names.ts';
import type { RouterMethodName } from '../service/router-names.ts';
import { askDecision, askDecisions, askIndexHealth } from './router-questions.ts';
import { RouterReplicas } from './router-replicas.ts';

/** Settings of a {@link RemoteRouter}. */
export interface RemoteRouterOptions {
  readonly runtime: DistributedRuntime;
  /** Namespace of the router service. */
  readonly namespace: string;
  /** The workers, as this process sees them: those it cannot use are named to the router. */
  readonly instances: InstanceView;
  /** Of requests that name none: replicas keep the queues and sessions of several models at one endpoint apart. */
  readonly model?: string | undefined;
  /** Places while no router answers. */
  readonly fallback: PlacementRouter;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  /** Longest wait in milliseconds until a replica takes a call. @default 1000 */
  readonly timeoutMs?: number | undefined;
  /** Whether replicas are told of every block of output. @default false */
  readonly trackOutputBlocks?: boolean | undefined;
  /** How long a replica keeps this process's bookings without a sign of life. @default 20 seconds */
  readonly leaseMs?: number | undefined;
}

const DEFAULT_TIMEOUT_MS = 1000;
const DEFAULT_LEASE_MS = 20_000;

/** Frees that wait for a replica which stands still; more are left to the end of the lease. */
const MOST_UNDELIVERED = 10_000;

/** {@link PlacementRouter} that asks the router service. */
export class RemoteRouter implements PlacementRouter {
  readonly #options: RemoteRouterOptions;
  readonly #replicas: RouterReplicas;
  readonly #endpoint: string;
  readonly #ownerId: string;
  readonly #leaseMs: number;
  readonly #fallbacks: BoundCounter | undefined;
  /** Which replica holds a booking; those of the fallback are not here. */
  readonly #replicaOf = new Map<string, InstanceId>();
  /** Frees by the replica that could not be told. */
  readonly #undelivered = new Map<InstanceId, Uint8Array[]>();
  readonly #notices: TaskGroup;
  readonly #heartbeat: NodeJS.Timeout;
  #closing: Promise<void> | undefined;

  private constructor(options: RemoteRouterOptions, replicas: RouterReplicas) {
    this.#options = options;
    this.#replicas = replicas;
    this.#endpoint = formatEndpointPath(options.instances.path);
    this.#ownerId = `${instanceIdHex(options.runtime.instanceId)}/${randomUUID()}`;
    this.#leaseMs = options.leaseMs ?? DEFAULT_LEASE_MS;
    this.#fallbacks = options.metrics
      ?.counter(DISPATCH_METRICS.placementFallbackTotal)
      .bind({ dynamo_endpoint: this.#endpoint });
    this.#notices = new TaskGroup({
      name: 'router notices',
      onError: (error, task) => {
        options.logger.debug('a router was not told', { task, error });
      },
    });
    replicas.onTrusted((replica) => {
      this.#deliver(replica);
    });
    this.#heartbeat = setInterval(this.#beat, this.#leaseMs / 4).unref();
  }

  /** Finds the router service; there need not be one yet. */
  static async connect(options: RemoteRouterOptions): Promise<RemoteRouter> {
    const replicas = await RouterReplicas.connect({
      component: options.runtime.namespace(options.namespace).component(ROUTER_COMPONENT),
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      logger: options.logger,
    });
    return new RemoteRouter(options, replicas);
  }

  async route(request: PlacementRequest, context: Context): Promise<Placement> {
    const payload = RouteRequest.encode(this.#message(request)).finish();
    const failed = new Set<InstanceId>();
    for (;;) {
      const replica = this.#replicas.next(failed);
      if (replica === undefined) return this.#fallBack(request, context);
      try {
        return await this.#ask(replica, request, payload, context);
      } catch (error) {
        // It may have booked before it fell silent, or before its answer could reach the client that left.
        if (context.isKilled() || hasCode(error, 'transport.timeout', 'transport.disconnected'))
          this.#sendFree(replica, request.bookingId, { kind: 'cancelled' });
        if (!isReplicaFailure(error) || context.isKilled()) throw error;
        failed.add(replica);
        this.#options.logger.warn('router did not answer, asking another', {
          router_id: instanceIdHex(replica),
          error,
        });
      }
    }
  }

  prefillDone(bookingId: string): void {
    const replica = this.#replicaOf.get(bookingId);
    if (replica === undefined) this.#options.fallback.prefillDone(bookingId);
    else this.#notify('prefillDone', replica, PrefillDoneRequest.encode(this.#booking(bookingId)));
  }

  outputBlock(bookingId: string): void {
    const replica = this.#replicaOf.get(bookingId);
    if (replica === undefined) this.#options.fallback.outputBlock(bookingId);
    else if (this.#options.trackOutputBlocks === true)
      this.#notify('outputBlock', replica, OutputBlockRequest.encode(this.#booking(bookingId)));
  }

  free(bookingId: string, outcome?: RequestOutcome): void {
    const replica = this.#replicaOf.get(bookingId);
    this.#options.fallback.free(bookingId, outcome);
    if (replica === undefined) return;
    this.#replicaOf.delete(bookingId);
    this.#sendFree(replica, bookingId, outcome);
  }

  /** A decision by its id, from the replica that made it; undefined when none has it. */
  async decision(id: string): Promise<Decision | undefined> {
    return askDecision(this.#replicas, id);
  }

  /** The latest decisions of all replicas, newest first. */
  async recentDecisions(limit: number): Promise<readonly Decision[]> {
    return askDecisions(this.#replicas, this.#endpoint, limit);
  }

  /** What one replica's index holds; undefined when none answers. */
  async indexHealth(): Promise<IndexReport | undefined> {
    return askIndexHealth(this.#replicas, this.#endpoint);
  }

  /** Waits for notices on their way. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #ask(
    replica: InstanceId,
    request: PlacementRequest,
    payload: Uint8Array,
    context: Context,
  ): Promise<Placement> {
    const answer = await this.#replicas.call('route', replica, payload, context);
    if (request.advisory !== true) this.#replicaOf.set(request.bookingId, replica);
    return placementOf(RouteResponse.decode(answer));
  }

  /** Places by load alone, whatever the request's mode: this process keeps no index. */
  async #fallBack(request: PlacementRequest, context: Context): Promise<Placement> {
    this.#fallbacks?.inc();
    this.#options.logger.debug('no router answers, placing in process', {
      endpoint: this.#endpoint,
    });
    const mode = request.mode === 'direct' ? 'direct' : 'least-loaded';
    const placement = await this.#options.fallback.route({ ...request, mode }, context);
    return { ...placement, reason: `fallback ${placement.reason}` };
  }

  #sendFree(replica: InstanceId, requestId: string, outcome: RequestOutcome | undefined): void {
    const message = { ...this.#booking(requestId), outcome: outcomeMessage(outcome) };
    this.#free(replica, FreeRequest.encode(FreeRequest.create(message)).finish());
  }

  #free(replica: InstanceId, payload: Uint8Array): void {
    if (this.#notices.signal.aborted || !this.#replicas.ids().includes(replica)) return;
    if (!this.#replicas.isTrusted(replica)) {
      this.#keep(replica, payload);
      return;
    }
    this.#notices.start('free', async () => {
      try {
        await this.#replicas.call('free', replica, payload, new Context());
      } catch (error) {
        if (hasCode(error, ...LOST)) this.#keep(replica, payload);
        throw error;
      }
    });
  }

  #keep(replica: InstanceId, payload: Uint8Array): void {
    const kept = this.#undelivered.get(replica) ?? [];
    this.#undelivered.set(replica, kept);
    if (kept.length < MOST_UNDELIVERED) kept.push(payload);
  }

  #deliver(replica: InstanceId): void {
    const kept = this.#undelivered.get(replica) ?? [];
    this.#undelivered.delete(replica);
    for (const payload of kept) this.#free(replica, payload);
  }

  #notify(name: RouterMethodName, replica: InstanceId, message: { finish(): Uint8Array }): void {
    if (this.#notices.signal.aborted || !this.#replicas.isTrusted(replica)) return;
    const payload = message.finish();
    this.#notices.start(name, async () => {
      await this.#replicas.call(name, replica, payload, new Context());
    });
  }

  readonly #beat = (): void => {
    for (const replica of [...this.#undelivered.keys()])
      if (this.#replicas.isTrusted(replica)) this.#deliver(replica);
    if (this.#replicaOf.size === 0) return;
    const message = { endpoint: this.#endpoint, ownerId: this.#ownerId };
    for (const replica of new Set(this.#replicaOf.values()))
      this.#notify('renew', replica, RenewRequest.encode(RenewRequest.create(message)));
  };

  async #close(): Promise<void> {
    clearInterval(this.#heartbeat);
    await this.#notices.idle();
    await this.#notices.close();
    await this.#replicas.close();
  }

  #booking(requestId: string): { readonly requestId: string; readonly endpoint: string } {
    return { requestId, endpoint: this.#endpoint };
  }

  #message(request: PlacementRequest): RouteRequest {
    const model = request.model ?? this.#options.model;
    return routeMessage(model === undefined ? request : { ...request, model }, {
      endpoint: this.#endpoint,
      excludedInstanceIds: [...request.excluded, ...this.#unusable(request.excluded)],
      ownerId: this.#ownerId,
      leaseMs: this.#leaseMs,
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

/** The replica may not know what it was told. */
const LOST = ['transport.cannot_connect', 'transport.disconnected', 'transport.timeout'] as const;

/** Whether the replica failed, as opposed to answering that the request cannot be placed. */
function isReplicaFailure(error: unknown): error is DynamoError {
  // Without a worker: this replica sees none, or has left; another may see one.
  return hasCode(
    error,
    ...LOST,
    'runtime.closed',
    'backend.unavailable',
    'backend.engine_shutdown',
  );
}
