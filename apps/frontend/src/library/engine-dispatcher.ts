/**
 * Dispatches requests to one engine function of this process. The engine is served on a request plane of its own, so that
 * cancellation, credit for slow readers and errors are those of any worker; there is no discovery and no choice.
 */
import { DynamoError, createInstanceId } from '@dynamo-ts/base';
import { Dispatcher } from '@dynamo-ts/routing';
import type { Placement, PlacementRequest, PlacementRouter, WorkerPool } from '@dynamo-ts/routing';
import { LocalRequestPlane } from '@dynamo-ts/runtime';
import type { Context, RawHandler, RawResponse, ServedTransport } from '@dynamo-ts/runtime';
import type { Telemetry } from '@dynamo-ts/telemetry';

/** Nobody else is on the plane of an engine. */
const PATH = { namespace: 'local', component: 'engine', endpoint: 'generate' };

/** A dispatcher whose only worker is `handler`. */
export function engineDispatcher(
  handler: RawHandler,
  { logger, metrics }: Pick<Telemetry, 'logger' | 'metrics'>,
): Dispatcher {
  const router = new OnlyInstance();
  return new Dispatcher({ workers: new EnginePool(handler, router), router, logger, metrics });
}

/** The engine as the only worker of an endpoint. */
class EnginePool implements WorkerPool {
  readonly path = PATH;
  readonly #plane = new LocalRequestPlane();
  readonly #served: Promise<ServedTransport>;

  constructor(handler: RawHandler, { instanceId }: OnlyInstance) {
    this.#served = this.#plane.serve({ endpoint: PATH, instanceId }, handler);
  }

  async openRaw(
    instanceId: Placement['instanceId'],
    payload: Uint8Array,
    context: Context,
  ): Promise<RawResponse> {
    const { transport } = await this.#served;
    return this.#plane.open({ endpoint: PATH, instanceId, transport }, { payload, context });
  }

  /** A function is not down because one request went silent. */
  reportDown(): void {}
}

/** Always chooses the same instance, and keeps no book. */
class OnlyInstance implements PlacementRouter {
  readonly instanceId: Placement['instanceId'] = createInstanceId();

  async route({ excluded, pinned }: PlacementRequest): Promise<Placement> {
    const { instanceId } = this;
    if (excluded.has(instanceId) || (pinned !== undefined && pinned !== instanceId)) {
      throw new DynamoError('backend.unavailable', 'no other engine serves this model');
    }
    return Promise.resolve({
      instanceId,
      overlapBlocks: 0,
      cachedTokens: 0,
      queuedMs: 0,
      reason: 'only',
    });
  }

  prefillDone(): void {}

  outputBlock(): void {}

  free(): void {}

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
