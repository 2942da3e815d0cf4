/** How requests reach the workers of one endpoint: client, placement, dispatcher. */
import type { AbortOptions } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import { BusyDoor, BusyInstances, Dispatcher, LocalRouter, RemoteRouter } from '@dynamo-ts/routing';
import type {
  DecisionSource,
  IndexReport,
  KvRouterFactory,
  ModelRouter,
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

/** How far a router of an endpoint is. */
export interface RouterState {
  readonly endpoint: string;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Ranks whose caches have been restored since the start, of all. */
  readonly restored: { readonly done: number; readonly total: number };
  readonly index: IndexReport;
}

/** The workers of one endpoint. */
export class ModelWorkers implements AsyncDisposable {
  readonly client: Client;
  readonly dispatcher: Dispatcher;
  readonly #router: ModelRouter | RemoteRouter;
  readonly #busy: BusyInstances | undefined;

  private constructor(
    client: Client,
    router: ModelRouter | RemoteRouter,
    { telemetry, streamTimeoutMs }: ModelWorkersOptions,
    busy?: BusyInstances,
  ) {
    this.client = client;
    this.#router = router;
    this.#busy = busy;
    this.dispatcher = new Dispatcher({
      workers: client,
      router: busy === undefined ? router : new BusyDoor(router, busy),
      logger: loggerOf(telemetry),
      metrics: telemetry.metrics,
      tracer: telemetry.tracer,
      streamTimeoutMs,
    });
  }

  /** Finds the workers that there are now, and follows them; waits a while for those that must be there at first. */
  static async open(
    pool: RoutedPool,
    options: ModelWorkersOptions,
    wait: AbortOptions = {},
  ): Promise<ModelWorkers> {
    const { runtime, routers, routerPlacement } = options;
    const client = await runtime.endpoint(formatEndpointPath(pool.path)).client();
    try {
      if (routerPlacement === 'in-process')
        return new ModelWorkers(client, await routers.openRestored(pool, wait), options);
      const busy = followBusy(pool, client, options);
      return new ModelWorkers(client, await connectService(pool, busy, options), options, busy);
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** Who records the decisions about these workers. */
  get decisions(): DecisionSource {
    return this.#router instanceof RemoteRouter ? this.#router : this.#router.shared;
  }

  /** How far the router is; undefined when it is a service, which says so itself. */
  routerState(): RouterState | undefined {
    const router = this.#router;
    if (router instanceof RemoteRouter) return undefined;
    return {
      endpoint: formatEndpointPath(this.client.path),
      blockSize: router.shared.blockSize,
      restored: router.restored,
      index: router.indexHealth(),
    };
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#router.close();
    await this.#busy?.close();
    await this.client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** While no router service answers, requests go to the worker that has the fewest. */
async function connectService(
  { path, model }: RoutedPool,
  busy: BusyInstances,
  { runtime, telemetry }: ModelWorkersOptions,
): Promise<RemoteRouter> {
  const { metrics } = telemetry;
  const instances = busy.view;
  const fallback = new LocalRouter({
    instances,
    routerId: runtime.instanceId,
    mode: 'least-loaded',
    metrics,
  });
  const logger = loggerOf(telemetry);
  return RemoteRouter.connect({
    runtime,
    namespace: path.namespace,
    instances,
    model,
    fallback,
    logger,
    metrics,
  });
}

/** The service does not know the thresholds that were set here while it runs. */
function followBusy(
  { model }: RoutedPool,
  client: Client,
  { runtime, routers, telemetry }: ModelWorkersOptions,
): BusyInstances {
  return new BusyInstances({
    runtime,
    instances: client,
    thresholds: routers.thresholds,
    model: model ?? '',
    metrics: telemetry.metrics,
    logger: loggerOf(telemetry),
  });
}

function loggerOf(telemetry: Telemetry): Logger {
  return telemetry.logger.child({ target: 'frontend.dispatch' });
}
