/**
 * Placement in this process: a policy over the instances that can take requests, and the bookings.
 */
import { DynamoError, PUBLIC_MESSAGE, instanceIdHex, throwIfAborted } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import { createSelectionSource, selectInstance } from '@dynamo-ts/runtime';
import type { Context, SelectionPolicy, SelectionSource } from '@dynamo-ts/runtime';
import type { MetricsRegistry } from '@dynamo-ts/telemetry';

import { Bookings } from './bookings.ts';
import type {
  Placement,
  PlacementRequest,
  PlacementRouter,
  RequestOutcome,
} from './placement-router.ts';
import type { RouterMode } from './router-mode.ts';
import { RouterMeter } from './router-meter.ts';

/** The instances of an endpoint as this process sees them; a runtime `Client` is one. */
export interface InstanceView {
  readonly path: EndpointPath;
  /** All that discovery knows. */
  instanceIds(): readonly InstanceId[];
  /** Those that are not inhibited. */
  routable(): readonly InstanceId[];
  /** Routable ones that are not overloaded. */
  free(): readonly InstanceId[];
}

/** Settings of a {@link LocalRouter}. */
export interface LocalRouterOptions {
  readonly instances: InstanceView;
  /** Instance id of this process, for the `router_id` label. */
  readonly routerId: InstanceId;
  /** @default 'round-robin' */
  readonly mode?: RouterMode | undefined;
  /** Age at which a forgotten booking goes. @default 1 hour */
  readonly bookingExpiryMs?: number | undefined;
  readonly metrics?: MetricsRegistry | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
}

/** In-process {@link PlacementRouter}. */
export class LocalRouter implements PlacementRouter {
  readonly #instances: InstanceView;
  readonly #mode: RouterMode;
  readonly #source: SelectionSource;
  readonly #meter: RouterMeter | undefined;
  readonly #bookings: Bookings;

  constructor(options: LocalRouterOptions) {
    const { instances, routerId, metrics, clock } = options;
    this.#instances = instances;
    this.#mode = options.mode ?? 'round-robin';
    this.#source = createSelectionSource(options.random);
    const meter = metrics && new RouterMeter(metrics, instances.path, routerId);
    this.#meter = meter;
    this.#bookings = new Bookings({
      expiryMs: options.bookingExpiryMs,
      clock,
      onPrefillDone: (ageMs) => meter?.prefillDone(ageMs),
      onReleased: (how) => meter?.released(how),
    });
  }

  /** Bookings that have not been given back. */
  get activeRequests(): number {
    return this.#bookings.size;
  }

  /** Requests booked on an instance. */
  inFlight(id: InstanceId): number {
    return this.#bookings.inFlight(id);
  }

  async route(request: PlacementRequest, context: Context): Promise<Placement> {
    throwIfAborted(context.stopped);
    return Promise.resolve(this.place(request));
  }

  /** {@link route} without a context: the choice itself never waits. */
  place(request: PlacementRequest): Placement {
    this.#bookings.expire();
    const mode = request.mode ?? this.#mode;
    const instanceId =
      request.pinned === undefined ? this.#select(mode, request.excluded) : this.#pinned(request);
    if (request.advisory !== true) {
      this.#bookings.book(request.bookingId, instanceId, request.owner);
      this.#meter?.started(request.promptTokens);
    }
    const reason = request.pinned === undefined ? policyOf(mode) : 'pinned';
    return {
      instanceId,

      overlapBlocks: 0,
      cachedTokens: 0,
      queuedMs: 0,
      reason,
    };
  }

  prefillDone(bookingId: string): void {
    this.#bookings.prefillDone(bookingId);
  }

  /** Blocks mean nothing to these modes. */
  outputBlock(): void {
    return undefined;
  }

  free(bookingId: string, outcome?: RequestOutcome): void {
    if (this.#bookings.free(bookingId) && outcome !== undefined) this.#meter?.ended(outcome);
  }

  /** Gives back what an owner that is gone has booked. */
  freeOwned(owner: object): void {
    this.#bookings.freeOwned(owner);
  }

  /** Holds nothing that must be released. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #select(mode: RouterMode, excluded: ReadonlySet<InstanceId>): InstanceId {
    const policy = policyOf(mode);
    if (policy === 'direct') {
      throw new DynamoError(
        'request.invalid',
        'router mode direct needs the instance id in the request (nvext.backend_instance_id)',
      );
    }
    const id = this.#pick(policy, without(this.#instances.free(), excluded));
    if (id !== undefined) return id;
    const name = formatEndpointPath(this.#instances.path);
    throw without(this.#instances.routable(), excluded).length > 0
      ? new DynamoError(
          'capacity.pool_exhausted',
          `all instances of ${name} are busy, please retry later`,
        )
      : new DynamoError(
          'backend.unavailable',
          `no instance of ${name} can take the request (${this.#instances.instanceIds().length} known, ${excluded.size} failed it); retry later`,
        );
  }

  #pick(policy: SelectionPolicy, candidates: readonly InstanceId[]): InstanceId | undefined {
    return selectInstance(policy, candidates, this.#bookings.inFlight, this.#source);
  }

  #pinned({ pinned, excluded }: PlacementRequest): InstanceId {
    if (
      pinned !== undefined &&
      !excluded.has(pinned) &&
      this.#instances.routable().includes(pinned)
    )
      return pinned;
    const name = formatEndpointPath(this.#instances.path);
    throw new DynamoError(
      'backend.unavailable',
      `instance ${instanceIdHex(pinned ?? 0n)} of ${name} cannot take the request: it is not registered, cannot be reached or has failed it`,
      { details: PUBLIC_MESSAGE },
    );
  }
}

/** This router knows nothing of caches: for `kv` it takes the least loaded. */
function policyOf(mode: RouterMode): SelectionPolicy | 'direct' {
  return mode === 'kv' ? 'least-loaded' : mode;
}

function without(
  ids: readonly InstanceId[],
  excluded: ReadonlySet<InstanceId>,
): readonly InstanceId[] {
  return excluded.size === 0 ? ids : ids.filter((id) => !excluded.has(id));
}
