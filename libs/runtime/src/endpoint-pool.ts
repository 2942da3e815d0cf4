/**
 * What all clients of one endpoint in this process share: its instances, which of them can take requests, and how many
 * each has in flight.
 *
 * When an instance leaves discovery its answers go on as long as its connection lives, because a draining worker
 * deregisters first and finishes after. Answers of an instance that cannot be reached within the grace time fail with
 * `transport.disconnected` and may migrate.
 */
import {
  DynamoError,
  TaskGroup,
  asInstanceId,
  deadlineSignal,
  hasCode,
  instanceIdHex,
} from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointInstance, EndpointPath } from '@dynamo-ts/protocol';
import type { Logger } from '@dynamo-ts/telemetry';

import { Availability } from './availability.ts';
import type { Context } from './context.ts';
import type { Discovery } from './discovery/discovery.ts';
import { InstanceSet } from './instance-set.ts';
import { Occupancy } from './occupancy.ts';
import type { RawResponse, RequestPlane, RequestTarget } from './request-plane/request-plane.ts';
import { createSelectionSource } from './selection.ts';
import type { SelectionSource } from './selection.ts';
import { sentHeader } from './sent-time.ts';

const DEFAULT_REMOVED_GRACE_MS = 5000;

/** What an {@link EndpointPool} needs. */
export interface EndpointPoolOptions {
  readonly path: EndpointPath;
  readonly discovery: Discovery;
  readonly requestPlane: RequestPlane;
  readonly logger: Logger;
  readonly inhibitedMs: number;
  /** How long a removed instance that cannot be reached may keep its callers waiting. @default 5000 */
  readonly removedGraceMs?: number;
}

/** What an opened request concerns. */
export interface PoolRequest {
  readonly payload: Uint8Array;
  readonly context: Context;
  /** Whether a fault takes the instance out of selection. */
  readonly faultDetection: boolean;
}

/** Shared state of an endpoint's clients. */
export class EndpointPool implements AsyncDisposable {
  readonly instances: InstanceSet;
  readonly availability: Availability;
  readonly occupancy: Occupancy = new Occupancy();
  readonly source: SelectionSource = createSelectionSource();
  readonly #requestPlane: RequestPlane;
  readonly #removedGraceMs: number;
  readonly #tasks: TaskGroup;

  constructor(options: EndpointPoolOptions) {
    const { path, logger, requestPlane } = options;
    this.#requestPlane = requestPlane;
    this.#removedGraceMs = options.removedGraceMs ?? DEFAULT_REMOVED_GRACE_MS;
    this.#tasks = new TaskGroup({
      name: formatEndpointPath(path),
      onError: (error, task) => {
        logger.error('instance tracking failed', { task, error });
      },
    });
    this.instances = new InstanceSet(options);
    this.availability = new Availability({
      ...options,
      instances: this.instances,
      reachable: (instance, signal) => requestPlane.reachable(targetOf(instance), { signal }),
    });
    this.instances.onChange(({ kind, instance }) => {
      if (kind === 'removed') this.#onRemoved(instance);
    });
    this.#tasks.start('watch', (signal) => this.instances.follow(signal));
  }

  /** Opens a request, counts it in flight until its answer has ended, and notes what its failure says. */
  async open(id: InstanceId, request: PoolRequest): Promise<RawResponse> {
    const instance = this.instances.get(id);
    if (instance === undefined) {
      throw new DynamoError(
        'backend.unavailable',
        `instance ${instanceIdHex(id)} of ${formatEndpointPath(this.instances.path)} is not registered`,
      );
    }
    const permit = this.occupancy.acquire(id);
    request.context.addHeaders(sentHeader());
    try {
      const response = await this.#requestPlane.open(targetOf(instance), {
        payload: request.payload,
        context: request.context,
        onSettled: (error) => {
          permit.release();
          if (error !== undefined && request.faultDetection) this.#note(id, error);
        },
      });
      permit.hold(response);
      return response;
    } catch (error) {
      permit.release();
      if (request.faultDetection) this.#note(id, error);
      throw error;
    }
  }

  /** Stops following the instances. Open answers go on. Idempotent. */
  async close(): Promise<void> {
    this.availability.close();
    await this.#tasks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #note(id: InstanceId, error: unknown): void {
    if (hasCode(error, 'capacity.worker_overloaded')) this.availability.reportOverloaded(id);
    else if (error instanceof DynamoError && error.info.inhibits) this.availability.reportDown(id);
  }

  #onRemoved(instance: EndpointInstance): void {
    const id = asInstanceId(instance.instanceId);
    this.availability.reportFree(id);
    if (this.occupancy.inFlight(id) === 0 || this.#tasks.signal.aborted) return;
    this.#tasks.start('removed instance', async (signal) => {
      try {
        await this.#requestPlane.reachable(targetOf(instance), {
          signal: deadlineSignal(this.#removedGraceMs, signal),
        });
      } catch {
        if (signal.aborted) return;
        const message = `instance ${instanceIdHex(id)} left and cannot be reached`;
        this.occupancy.failAll(id, new DynamoError('transport.disconnected', message));
      }
    });
  }
}

/** Where requests for an instance go. */
export function targetOf(instance: EndpointInstance): RequestTarget {
  const { namespace, component, endpoint, transport } = instance;
  return {
    endpoint: { namespace, component, endpoint },
    instanceId: asInstanceId(instance.instanceId),
    transport: transport ?? {},
  };
}
