/**
 * Calls an endpoint: picks an instance by a policy, or takes the one it is told, and reads the answer.
 *
 * A request that no instance has begun to answer is never lost while another instance can take it: an instance that
 * refuses, cannot be reached or breaks before its first item is excluded and the next one is taken (RF 1.9, 1.10).
 */
import { DynamoError, instanceIdHex } from '@dynamo-ts/base';
import type { AbortOptions, InstanceId } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointInstance, EndpointPath } from '@dynamo-ts/protocol';

import type { Annotated } from './annotated.ts';
import { Context } from './context.ts';
import type { EndpointPool } from './endpoint-pool.ts';
import type { InstanceChange } from './instance-set.ts';
import { encodePayload } from './payload-codec.ts';
import type { RawResponse } from './request-plane/request-plane.ts';
import { ResponseStream, readData, readEnvelope } from './response-stream.ts';
import { selectInstance } from './selection.ts';
import type { SelectionPolicy } from './selection.ts';

/** Settings of a {@link Client}. */
export interface ClientOptions {
  /** What {@link Client.generate} uses. @default 'round-robin' */
  readonly policy?: SelectionPolicy;
  /** Whether faults take instances out of selection; off for queries that say nothing about health. @default true */
  readonly faultDetection?: boolean;
}

/** Options of one call. */
export interface CallOptions {
  /** Its stop and kill reach the server; its headers travel along. @default a fresh one */
  readonly context?: Context | undefined;
  /** Whether the stream yields envelopes instead of data. @default false */
  readonly annotated?: boolean;
}

/** Options of one call that yields envelopes instead of data. */
export interface AnnotatedCallOptions extends CallOptions {
  readonly annotated: true;
}

/** What a {@link Client} is made of. */
export interface ClientParts {
  readonly pool: EndpointPool;
  /** Gives the shared pool back. */
  readonly release: () => Promise<void>;
  readonly options: ClientOptions;
}

/** Client of one endpoint. */
export class Client<Req = unknown, Res = unknown> implements AsyncDisposable {
  readonly #pool: EndpointPool;
  readonly #release: () => Promise<void>;
  readonly #policy: SelectionPolicy;
  readonly #faultDetection: boolean;
  #closing: Promise<void> | undefined;

  constructor({ pool, release, options }: ClientParts) {
    this.#pool = pool;
    this.#release = release;
    this.#policy = options.policy ?? 'round-robin';
    this.#faultDetection = options.faultDetection ?? true;
  }

  /** The endpoint that is called. */
  get path(): EndpointPath {
    return this.#pool.instances.path;
  }

  /** Ids of all instances that discovery knows. */
  instanceIds(): readonly InstanceId[] {
    return this.#pool.instances.ids();
  }

  /** Alias of {@link instanceIds}. */
  endpointIds(): readonly InstanceId[] {
    return this.instanceIds();
  }

  /** All instances that discovery knows. */
  instances(): readonly EndpointInstance[] {
    return this.#pool.instances.all();
  }

  /** Instances that are not inhibited; all when every one is. The array is the same until the set changes. */
  routable(): readonly InstanceId[] {
    return this.#pool.availability.routable();
  }

  /** Routable instances that are not overloaded. */
  free(): readonly InstanceId[] {
    return this.#pool.availability.free();
  }

  /** Requests in flight on an instance from this process. */
  inFlight(id: InstanceId): number {
    return this.#pool.occupancy.inFlight(id);
  }

  /** Resolves when there is at least one instance. */
  async waitForInstances(options: AbortOptions = {}): Promise<void> {
    await this.#pool.instances.waitForInstances(options);
  }

  /** Calls `listener` for every instance there is and every later change. @returns an unsubscribe */
  onInstances(listener: (change: InstanceChange) => void): () => void {
    return this.#pool.instances.onChange(listener);
  }

  /** Takes an instance out of selection until it can be reached again. */
  reportDown(id: InstanceId): void {
    this.#pool.availability.reportDown(id);
  }

  /** Leaves an instance alone until {@link reportFree}, or for a second. */
  reportOverloaded(id: InstanceId): void {
    this.#pool.availability.reportOverloaded(id);
  }

  /** The instance has capacity again. */
  reportFree(id: InstanceId): void {
    this.#pool.availability.reportFree(id);
  }

  /**
   * Picks an instance.
   *
   * @throws `backend.unavailable` when there is none, `capacity.pool_exhausted` when all are overloaded
   */
  select(policy: SelectionPolicy = this.#policy, excluded?: ReadonlySet<InstanceId>): InstanceId {
    const { availability, occupancy, source } = this.#pool;
    const free = availability.free();
    const candidates = excluded === undefined ? free : free.filter((id) => !excluded.has(id));
    const id = selectInstance(policy, candidates, (each) => occupancy.inFlight(each), source);
    if (id !== undefined) return id;
    const name = formatEndpointPath(this.path);
    throw availability.routable().length === 0 || free.length > 0
      ? new DynamoError('backend.unavailable', `no instance of ${name} can take the request`)
      : poolExhausted();
  }

  /** Sends a request by the client's policy. */
  generate(request: Req, options: AnnotatedCallOptions): Promise<ResponseStream<Annotated<Res>>>;
  generate(request: Req, options?: CallOptions): Promise<ResponseStream<Res>>;
  generate(request: Req, options: CallOptions = {}): Promise<ResponseStream<unknown>> {
    return this.#spread(this.#policy, request, options);
  }

  /** Sends a request to a random instance. */
  random(request: Req, options: AnnotatedCallOptions): Promise<ResponseStream<Annotated<Res>>>;
  random(request: Req, options?: CallOptions): Promise<ResponseStream<Res>>;
  random(request: Req, options: CallOptions = {}): Promise<ResponseStream<unknown>> {
    return this.#spread('random', request, options);
  }

  /** Sends a request to a random instance and tells which one answers. */
  async randomWithId(
    request: Req,
    options: CallOptions = {},
  ): Promise<{ readonly instanceId: InstanceId; readonly stream: ResponseStream<Res> }> {
    const stream = await this.random(request, options);
    return { instanceId: stream.instanceId, stream };
  }

  /** Sends a request to the next instance in turn. */
  roundRobin(request: Req, options: AnnotatedCallOptions): Promise<ResponseStream<Annotated<Res>>>;
  roundRobin(request: Req, options?: CallOptions): Promise<ResponseStream<Res>>;
  roundRobin(request: Req, options: CallOptions = {}): Promise<ResponseStream<unknown>> {
    return this.#spread('round-robin', request, options);
  }

  /** Sends a request to the instance with the fewest requests in flight. */
  leastLoaded(request: Req, options: AnnotatedCallOptions): Promise<ResponseStream<Annotated<Res>>>;
  leastLoaded(request: Req, options?: CallOptions): Promise<ResponseStream<Res>>;
  leastLoaded(request: Req, options: CallOptions = {}): Promise<ResponseStream<unknown>> {
    return this.#spread('least-loaded', request, options);
  }

  /** Sends a request to the less busy of two random instances. */
  powerOfTwo(request: Req, options: AnnotatedCallOptions): Promise<ResponseStream<Annotated<Res>>>;
  powerOfTwo(request: Req, options?: CallOptions): Promise<ResponseStream<Res>>;
  powerOfTwo(request: Req, options: CallOptions = {}): Promise<ResponseStream<unknown>> {
    return this.#spread('power-of-two', request, options);
  }

  /** Sends a request to one instance and no other. @throws `backend.unavailable` unless it is registered and routable */
  direct(
    request: Req,
    instanceId: InstanceId,
    options: AnnotatedCallOptions,
  ): Promise<ResponseStream<Annotated<Res>>>;
  direct(req: Req, instanceId: InstanceId, options?: CallOptions): Promise<ResponseStream<Res>>;
  direct(
    request: Req,
    instanceId: InstanceId,
    options: CallOptions = {},
  ): Promise<ResponseStream<unknown>> {
    return this.#direct(instanceId, encodePayload(request), options);
  }

  /**
   * Opens a request with opaque bytes on one instance; counts it in flight until its answer ends and reports faults.
   *
   * @throws what {@link RequestPlane.open} throws; `backend.unavailable` when the instance is not registered
   */
  openRaw(instanceId: InstanceId, payload: Uint8Array, context: Context): Promise<RawResponse> {
    return this.#pool.open(instanceId, { payload, context, faultDetection: this.#faultDetection });
  }

  /** Idempotent. Open answers go on. */
  async close(): Promise<void> {
    this.#closing ??= this.#release();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #direct(
    id: InstanceId,
    payload: Uint8Array,
    options: CallOptions,
  ): Promise<ResponseStream<unknown>> {
    if (this.#faultDetection && this.#pool.availability.isInhibited(id)) {
      throw new DynamoError(
        'backend.unavailable',
        `instance ${instanceIdHex(id)} of ${formatEndpointPath(this.path)} cannot be reached now`,
      );
    }
    return this.#attempt(id, payload, options);
  }

  async #spread(
    policy: SelectionPolicy,
    request: Req,
    options: CallOptions,
  ): Promise<ResponseStream<unknown>> {
    const payload = encodePayload(request);
    const excluded = new Set<InstanceId>();
    let last: DynamoError | undefined;
    for (;;) {
      const id = this.#nextCandidate(policy, excluded, last);
      try {
        return await this.#attempt(id, payload, options);
      } catch (error) {
        if (!isRetryable(error, options.context)) throw error;
        excluded.add(id);
        last = error;
      }
    }
  }

  #nextCandidate(
    policy: SelectionPolicy,
    excluded: ReadonlySet<InstanceId>,
    last: DynamoError | undefined,
  ): InstanceId {
    try {
      return this.select(policy, excluded);
    } catch (error) {
      if (last?.code === 'capacity.worker_overloaded') throw poolExhausted();
      throw last ?? error;
    }
  }

  async #attempt(
    id: InstanceId,
    payload: Uint8Array,
    options: CallOptions,
  ): Promise<ResponseStream<unknown>> {
    const response = await this.openRaw(id, payload, options.context ?? new Context());
    const first = (await response.nextBatch()) ?? [];
    const read = options.annotated === true ? readEnvelope : readData;
    return new ResponseStream({ instanceId: id, response, first, read });
  }
}

function poolExhausted(): DynamoError {
  return new DynamoError('capacity.pool_exhausted', 'All workers are busy, please retry later');
}

function isRetryable(error: unknown, context: Context | undefined): error is DynamoError {
  return error instanceof DynamoError && error.retryable && context?.isStopped() !== true;
}
