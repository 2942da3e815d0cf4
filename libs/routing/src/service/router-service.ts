/**
 * Placement for other processes, whatever carries the calls: one router per endpoint and block size that is asked for,
 * and the bookings of all callers under leases.
 *
 * A request that is routed again gives its earlier booking back first, whether that one is made or still on its way, so
 * that a call which was repeated by its caller books once.
 */
import { DynamoError, instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import {
  ListDecisionsResponse,
  OverlapResponse,
  PotentialLoadsResponse,
  RouterServiceSubscribeResponse,
} from '@dynamo-ts/protocol';
import type {
  Decision,
  FreeRequest,
  GetDecisionRequest,
  GetDecisionResponse,
  ListDecisionsRequest,
  ListWorkersRequest,
  ListWorkersResponse,
  OutputBlockRequest,
  OverlapRequest,
  PotentialLoadsRequest,
  PrefillDoneRequest,
  QueryIndexRequest,
  QueryIndexResponse,
  RegisterWorkerRequest,
  RenewRequest,
  RenewResponse,
  RouteRequest,
  RouteResponse,
  RouterServiceSubscribeRequest,
  UnregisterWorkerRequest,
} from '@dynamo-ts/protocol';
import type { Context } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import type { Placement, PlacementRequest, RequestOutcome } from '../placement-router.ts';
import { BookingLeases } from './booking-leases.ts';
import type { LeasedBooking } from './booking-leases.ts';
import { decisionFeed } from './decision-feed.ts';
import type { EndpointRouter } from './endpoint-router.ts';
import { ExternalWorkers } from './external-workers.ts';
import type { OpenEngineFeed } from './external-workers.ts';
import { indexMessage, loadMessages, overlapMessages } from './rank-messages.ts';
import {
  outcomeOf,
  placementMessage,
  placementRequest,
  promptQuery,
  promptTokensOf,
} from './route-message.ts';
import { RoutedEndpoints } from './routed-endpoints.ts';
import type { FollowModels } from './routed-endpoints.ts';
import type { EndpointCall, OpenEndpointRouter } from './routed-endpoint.ts';

/** Settings of a {@link RouterService}. */
export interface RouterServiceOptions {
  /** Makes the router of an endpoint. */
  readonly open: OpenEndpointRouter;
  /** Follows what the workers of an endpoint say about their models. */
  readonly follow: FollowModels;
  /** Of every router. @default as callers and workers say */
  readonly blockSize?: number | undefined;
  /** Listens to the events of engines that are registered; without it they are scored by what was routed to them. */
  readonly openFeed?: OpenEngineFeed | undefined;
  /** How long bookings of callers that are silent stay. @default 5 minutes */
  readonly leaseMs?: number | undefined;
  /** What is left of a lease when its caller's connection ends. @default 7 seconds */
  readonly leaseGraceMs?: number | undefined;
  readonly logger: Logger;
}

/** How a call came. */
export interface CallOrigin {
  readonly context: Context;
  /** Aborted when the connection of a caller on the request plane ends. */
  readonly caller?: AbortSignal | undefined;
  /** The caller reaches workers over the request plane only. @default false */
  readonly onRequestPlane?: boolean | undefined;
}

/** An endpoint and the model of a request there; empty when it names none. */
export interface ModelCall {
  readonly endpoint: string;
  readonly model: string;
}

const DEFAULT_LEASE_MS = 300_000;
const DEFAULT_DECISIONS = 100;

/** Routes for any endpoint by its path. */
export class RouterService implements AsyncDisposable {
  readonly endpoints: RoutedEndpoints;
  readonly #logger: Logger;
  /** Whether an endpoint has one router, whatever the blocks of its models. */
  readonly #isOneRouter: boolean;
  readonly #leases: BookingLeases;
  readonly #workers: ExternalWorkers;
  /** Requests that are being placed, by booking. */
  readonly #placing = new Map<string, Context>();
  #closing: Promise<void> | undefined;

  constructor(options: RouterServiceOptions) {
    this.#logger = options.logger;
    this.#isOneRouter = options.blockSize !== undefined;
    this.#workers = new ExternalWorkers(options.openFeed);
    const registered = (endpoint: string) => this.#workers.modelsOf(endpoint);
    this.endpoints = new RoutedEndpoints({ ...options, registered });
    this.#leases = new BookingLeases({
      leaseMs: options.leaseMs ?? DEFAULT_LEASE_MS,
      graceMs: options.leaseGraceMs,
      onExpired: (booking) => {
        this.#onExpired(booking);
      },
    });
  }

  /** Bookings of callers elsewhere. */
  get leasedBookings(): number {
    return this.#leases.size;
  }

  /** Keeps the routers of an endpoint from now on. @returns the routers, once the first worker has come */
  async prepare(endpoint: string): Promise<readonly EndpointRouter[]> {
    return this.endpoints.prepare(endpoint);
  }

  /**
   * Picks an instance and books the request on it.
   *
   * @throws `backend.unavailable`, `capacity.*`, or `request.invalid` for an endpoint, blocks, a mode or weights that
   * cannot be
   */
  async route(request: RouteRequest, origin: CallOrigin): Promise<RouteResponse> {
    const router = await this.#routerOf(request, origin);
    const wanted = this.#wanted(request, router, origin);
    const placement = request.advisory
      ? await router.route(wanted, origin.context)
      : await this.#book(request, origin, (context) => router.route(wanted, context));
    this.#logPlacement(placement, origin.context);
    return placementMessage(placement);
  }

  /** First token seen. Unknown requests are ignored. */
  prefillDone(request: PrefillDoneRequest): void {
    this.#leases.touch(request);
    for (const router of this.endpoints.routersOf(request.endpoint))
      router.prefillDone(request.requestId);
  }

  /** Output has filled one more block. Unknown requests are ignored. */
  outputBlock(request: OutputBlockRequest): void {
    this.#leases.touch(request);
    for (const router of this.endpoints.routersOf(request.endpoint))
      router.outputBlock(request.requestId);
  }

  /** The request ended, also one that is still being placed. Idempotent. */
  free(request: FreeRequest): void {
    const outcome = outcomeOf(request.outcome);
    this.#placing.get(bookingName(request))?.kill('superseded');
    this.#leases.release(request);
    this.#free(request, outcome);
  }

  /** The caller is alive. */
  renew({ endpoint, ownerId, requestIds }: RenewRequest): RenewResponse {
    const owned = ownerId === '' ? 0 : this.#leases.renewOwner(ownerId);
    const single = requestIds.filter((requestId) => this.#leases.touch({ endpoint, requestId }));
    return { renewed: owned + single.length };
  }

  /** How much of a prompt each worker holds. */
  async overlap(request: OverlapRequest, origin: CallOrigin): Promise<OverlapResponse> {
    const router = await this.#routerOf(request, origin);
    return OverlapResponse.create({
      workers: overlapMessages(
        router.overlap(promptQuery(request)),
        this.#foreign(request, router),
      ),
      blockSize: router.blockSize,
    });
  }

  /** What each worker would have to do if the request came to it. */
  async potentialLoads(
    request: PotentialLoadsRequest,
    origin: CallOrigin,
  ): Promise<PotentialLoadsResponse> {
    const router = await this.#routerOf(request, origin);
    const prompt = promptQuery(request);
    const promptTokens = promptTokensOf(request, router.blockSize);
    const { pendingCount, pendingIslTokens } = router.queueStats();
    return PotentialLoadsResponse.create({
      loads: loadMessages(
        router.potentialLoads({ ...prompt, promptTokens }),
        this.#foreign(request, router),
      ),
      pendingCount,
      pendingIslTokens: BigInt(pendingIslTokens),
      blockSize: router.blockSize,
    });
  }

  /** What the index holds and how far it can be trusted. */
  async queryIndex(
    request: QueryIndexRequest,
    { context }: CallOrigin,
  ): Promise<QueryIndexResponse> {
    const routers = await this.endpoints.openAll(request.endpoint, context.killed);
    return indexMessage(routers, request);
  }

  /** One recorded decision. @throws `request.invalid` without an id, `request.not_found` */
  getDecision({ decisionId }: GetDecisionRequest): GetDecisionResponse {
    if (decisionId === '') throw new DynamoError('request.invalid', 'decision_id is empty');
    const decision = this.decision(decisionId);
    if (decision !== undefined) return { decision };
    throw new DynamoError(
      'request.not_found',
      `decision ${decisionId} is not here: another router made it, or it is too old`,
    );
  }

  /** The latest decisions, newest first. */
  listDecisions({ endpoint, limit }: ListDecisionsRequest): ListDecisionsResponse {
    const most = limit > 0 ? limit : DEFAULT_DECISIONS;
    return ListDecisionsResponse.create({ decisions: this.recentDecisions(most, endpoint) });
  }

  /** A recorded decision; undefined when it is not known (any more). */
  decision(decisionId: string): Decision | undefined {
    for (const { router } of this.endpoints.all()) {
      const decision = router.decision(decisionId);
      if (decision !== undefined) return decision;
    }
    return undefined;
  }

  /** The latest decisions of one endpoint, or of all, newest first. */
  recentDecisions(limit: number, endpoint = ''): Decision[] {
    return this.endpoints
      .all()
      .filter(({ name }) => endpoint === '' || name === endpoint)
      .flatMap(({ router }) => router.recentDecisions(limit))
      .toSorted((a, b) => b.timestampMs - a.timestampMs)
      .slice(0, limit);
  }

  /** Decisions from now on, until the context ends. */
  async *subscribe(
    { endpoint, immediately }: RouterServiceSubscribeRequest,
    { context }: CallOrigin,
  ): AsyncGenerator<RouterServiceSubscribeResponse> {
    const signal = context.stopped;
    const decisions: AsyncGenerator<Decision> = decisionFeed(this.endpoints, {
      endpoint,
      immediately,
      signal,
    });
    for await (const decision of decisions)
      yield RouterServiceSubscribeResponse.create({ decision });
  }

  /** Makes an engine known that registers nowhere itself. */
  async registerWorker(request: RegisterWorkerRequest, origin: CallOrigin): Promise<void> {
    const { endpoint, modelName: model, blockSize } = request;
    const router = await this.#routerOf({ endpoint, model, blockSize, isNew: true }, origin);
    await this.#workers.register(request, router);
    this.endpoints.registrationsChanged(endpoint);
  }

  /** Idempotent. */
  async unregisterWorker(request: UnregisterWorkerRequest): Promise<void> {
    await this.#workers.unregister(request);
    this.endpoints.registrationsChanged(request.endpoint);
  }

  /** Engines that were registered here. */
  listWorkers({ endpoint }: ListWorkersRequest): ListWorkersResponse {
    return { workers: this.#workers.list(endpoint) };
  }

  /** Workers that a request for a model must not be sent to over the request plane: of other models, or not on it. */
  unusable(call: ModelCall, router: EndpointRouter): readonly InstanceId[] {
    const unreachable = this.#workers.idsOf(call.endpoint);
    const foreign = this.#foreign(call, router);
    return unreachable.length === 0 ? foreign : [...foreign, ...unreachable];
  }

  /** Closes every router. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #routerOf(
    { endpoint, ...call }: EndpointCall & { readonly endpoint: string },
    { context }: CallOrigin,
  ): Promise<EndpointRouter> {
    const { model, blockSize, isNew } = call;
    return this.endpoints.open(endpoint, { model, blockSize, isNew, signal: context.killed });
  }

  #foreign({ model }: Pick<ModelCall, 'model'>, router: EndpointRouter): readonly InstanceId[] {
    return router.foreign(model === '' ? undefined : model, this.#isOneRouter);
  }

  /** Who calls over the request plane cannot reach engines that are not on it. */
  #wanted(request: RouteRequest, router: EndpointRouter, origin: CallOrigin): PlacementRequest {
    const wanted = placementRequest(request, router.blockSize);
    const unusable =
      origin.onRequestPlane === true
        ? this.unusable(request, router)
        : this.#foreign(request, router);
    if (unusable.length === 0) return wanted;
    return { ...wanted, excluded: new Set([...wanted.excluded, ...unusable]) };
  }

  /** Places a request under a lease; what its caller no longer wants is given back. */
  async #book(
    request: RouteRequest,
    { context, caller }: CallOrigin,
    place: (context: Context) => Promise<Placement>,
  ): Promise<Placement> {
    const name = bookingName(request);
    this.#placing.get(name)?.kill('superseded');
    if (this.#leases.has(request)) this.#giveBack(request);
    const placing = context.child();
    this.#placing.set(name, placing);
    try {
      const placement = await place(placing);
      if (placing.isKilled()) {
        if (this.#placing.get(name) === placing) this.#giveBack(request);
        throw new DynamoError('request.cancelled', `request ${request.requestId} was given up`);
      }
      this.#leases.hold(request, { ownerId: request.ownerId, leaseMs: request.leaseMs, caller });
      return placement;
    } finally {
      context.unlinkChild(placing);
      if (this.#placing.get(name) === placing) this.#placing.delete(name);
    }
  }

  #giveBack(booking: LeasedBooking): void {
    this.#leases.release(booking);
    this.#free(booking, { kind: 'cancelled' });
  }

  /** Only the router that has the booking counts its end. */
  #free({ endpoint, requestId }: LeasedBooking, outcome: RequestOutcome | undefined): void {
    for (const router of this.endpoints.routersOf(endpoint)) router.free(requestId, outcome);
  }

  #onExpired({ endpoint, requestId }: LeasedBooking): void {
    this.#logger.warn('the lease of a booking has ended: its caller is gone', {
      endpoint,
      request_id: requestId,
    });
    const outcome = { kind: 'failed', errorCode: 'request.deadline_exceeded' } as const;
    this.#free({ endpoint, requestId }, outcome);
  }

  #logPlacement(placement: Placement, context: Context): void {
    this.#logger.info('request is placed', {
      trace_id: context.trace?.traceId,
      span_id: context.trace?.spanId,
      request_id: context.id,
      worker_id: instanceIdHex(placement.instanceId),
      decision_id: placement.decisionId,
      reason: placement.reason,
    });
  }

  async #close(): Promise<void> {
    this.#leases.close();
    await this.#workers[Symbol.asyncDispose]();
    await this.endpoints.close();
  }
}

function bookingName({ endpoint, requestId }: LeasedBooking): string {
  return `${endpoint} ${requestId}`;
}
