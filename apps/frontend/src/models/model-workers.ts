/** How requests reach the workers of one endpoint: client, placement, dispatcher. */
import { formatEndpointPath } from '@dynamo-ts/protocol';
import { Dispatcher, LocalRouter, RemoteRouter } from '@dynamo-ts/routing';
import type {
  DecisionSource,
  IndexReport,
  KvRouter,
  KvRouterFactory,
  RoutedPool,
} from '@dynamo-ts/routing';
import type { Client, DistributedRuntime } from '@dynamo-ts/runtime';
import type { Logger, Telemetry } from '@dynamo-ts/telemetry';

/** Settings of {@link ModelWorkers}. */
export interface ModelWorkersOptions {
  readonly runtime: DistributedRuntime;
  readonly telemetry: Telemetry;
  readonly routers: KvRouterFactory;
  readonly routerPlacement: 'in-process' | 'service';
  /** Longest silence of a worker; 0 is no limit. */
  readonly streamTimeoutMs: number;
}

/** How far the router of an endpoint is. */
export interface RouterState {
  readonly endpoint: string;
  /** Ranks whose caches have been restored since the start, of all. */
  readonly restored: { readonly done: number; readonly total: number };
  readonly index: IndexReport;
}

/** The workers of one endpoint. */
export class ModelWorkers implements AsyncDisposable {
  readonly client: Client;
  readonly dispatcher: Dispatcher;
  readonly #router: KvRouter | RemoteRouter;

  private constructor(
    client: Client,
    router: KvRouter | RemoteRouter,
    { telemetry, streamTimeoutMs }: ModelWorkersOptions,
  ) {
    this.client = client;
    this.#router = router;
    this.dispatcher = new Dispatcher({
      workers: client,
      router,
      logger: loggerOf(telemetry),
      metrics: telemetry.metrics,
      tracer: telemetry.tracer,
      streamTimeoutMs,
    });
  }

  /** Finds the workers that there are now and follows them. */
  static async open(pool: RoutedPool, options: ModelWorkersOptions): Promise<ModelWorkers> {
    const { runtime, routers, routerPlacement } = options;
    const client = await runtime.endpoint(formatEndpointPath(pool.path)).client();
    const router =
      routerPlacement === 'service'
        ? await connectService(client, options)
        : await routers.open(pool);
    return new ModelWorkers(client, router, options);
  }

  /** Who records the decisions about these workers. */
  get decisions(): DecisionSource {
    return this.#router;
  }

  /** How far the router is; undefined when it is a service, which says so itself. */
  routerState(): RouterState | undefined {
    const router = this.#router;
    if (router instanceof RemoteRouter) return undefined;
    return {
      endpoint: formatEndpointPath(this.client.path),
      restored: router.restored,
      index: router.indexHealth(),
    };
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

/** While no router service answers, requests go to the worker that has the fewest. */
async function connectService(
  client: Client,
  { runtime, telemetry }: ModelWorkersOptions,
): Promise<RemoteRouter> {
  const { metrics } = telemetry;
  const fallback = new LocalRouter({
    instances: client,
    routerId: runtime.instanceId,
    mode: 'least-loaded',
    metrics,
  });
  const { namespace } = client.path;
  const logger = loggerOf(telemetry);
  return RemoteRouter.connect({
    runtime,
    namespace,
    instances: client,
    fallback,
    logger,
    metrics,
  });
}

function loggerOf(telemetry: Telemetry): Logger {
  return telemetry.logger.child({ target: 'frontend.dispatch' });
}
