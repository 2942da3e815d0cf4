/** How requests reach the workers of one endpoint: client, placement, dispatcher. */
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import { Dispatcher, LocalRouter, RemoteRouter } from '@dynamo-ts/routing';
import type { PlacementRouter, RouterMode } from '@dynamo-ts/routing';
import type { Client, DistributedRuntime } from '@dynamo-ts/runtime';
import type { Telemetry } from '@dynamo-ts/telemetry';

/** Settings of {@link ModelWorkers}. */
export interface ModelWorkersOptions {
  readonly runtime: DistributedRuntime;
  readonly telemetry: Telemetry;
  readonly routerMode: RouterMode;
  readonly routerPlacement: 'in-process' | 'service';
  /** Longest silence of a worker; 0 is no limit. */
  readonly streamTimeoutMs: number;
}

/** The workers of one endpoint. */
export class ModelWorkers implements AsyncDisposable {
  readonly client: Client;
  readonly dispatcher: Dispatcher;
  readonly #router: PlacementRouter;

  private constructor(client: Client, router: PlacementRouter, dispatcher: Dispatcher) {
    this.client = client;
    this.#router = router;
    this.dispatcher = dispatcher;
  }

  /** Finds the workers that there are now and follows them. */
  static async open(path: EndpointPath, options: ModelWorkersOptions): Promise<ModelWorkers> {
    const { runtime, telemetry } = options;
    const logger = telemetry.logger.child({ target: 'frontend.dispatch' });
    const client = await runtime.endpoint(formatEndpointPath(path)).client();
    const local = new LocalRouter({
      instances: client,
      routerId: runtime.instanceId,
      mode: options.routerMode,
      metrics: telemetry.metrics,
    });
    const router =
      options.routerPlacement === 'in-process'
        ? local
        : await RemoteRouter.connect({
            runtime,
            namespace: path.namespace,
            instances: client,
            fallback: local,
            logger,
            metrics: telemetry.metrics,
          });
    const dispatcher = new Dispatcher({
      workers: client,
      router,
      logger,
      metrics: telemetry.metrics,
      tracer: telemetry.tracer,
      streamTimeoutMs: options.streamTimeoutMs,
    });
    return new ModelWorkers(client, router, dispatcher);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#router.close();
    await this.client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
