/** The whole router: what it is made of, in the order in which it is started. */
import { AbortReasonError, asInstanceId, deadlineSignal, raceAbort } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { RegisterWorkerRequest } from '@dynamo-ts/protocol';
import {
  KvRouterFactory,
  RequestForwarder,
  RouterService,
  decisionPage,
  modelFollower,
  routerEndpointPath,
  serveDynamoEndpoints,
  serveRouterEndpoints,
} from '@dynamo-ts/routing';
import type { EngineFeedHandle } from '@dynamo-ts/routing';
import { DistributedRuntime, createGrpcServer, createPlanes } from '@dynamo-ts/runtime';
import type { ServedEndpoint } from '@dynamo-ts/runtime';

import type { RouterSeat, StartedForm } from './router-seat.ts';
import { EngineFeed } from './engines/engine-feed.ts';
import { ENGINE_GRPC_SERVICE, engineGrpcService } from './grpc/engine-service.ts';
import { ROUTER_GRPC_SERVICE, routerGrpcService } from './grpc/router-service.ts';
import { HttpServer } from './http/http-server.ts';
import { routerRoutes } from './http/router-routes.ts';

/** How long the start waits for model cards that may be there. */
const CARDS_MS = 500;

/** How long the start waits for workers' snapshots; then it routes with what it has. */
const RESTORE_MS = 10_000;

/** Starts a router; it can be asked when this resolves. */
export async function startRouterForm(seat: RouterSeat): Promise<StartedForm> {
  const { config, telemetry, lifecycle, health } = seat;
  const runtime = await connect(seat);
  const parts = openService(seat, runtime);
  await restore(seat, parts.service, parts.endpoints);
  const grpcPort = await serveGrpc(seat, parts);
  const httpPort = await serveHttp(seat, parts.service);
  await serveEndpoints(seat, runtime, parts);
  const path = formatEndpointPath(routerEndpointPath(config.namespace, 'route'));
  health.setEndpoint(path, 'ready');
  telemetry.logger.info('router is ready', {
    endpoint: path,
    router_mode: config.routerMode,
    grpc_port: grpcPort,
    http_port: httpPort,
  });
  lifecycle.onShutdown('not-ready', 'endpoint', () => {
    health.setEndpoint(path, 'notready');
  });
  return { grpcPort, httpPort, pages: (url) => decisionPage([parts.service], url) };
}

interface RouterParts {
  readonly service: RouterService;
  readonly forwarder: RequestForwarder;
  /** Endpoints that are known from the start. */
  readonly endpoints: readonly [string, ...string[]];
}

async function connect({
  config,
  telemetry,
  lifecycle,
  givenRuntime,
}: RouterSeat): Promise<DistributedRuntime> {
  if (givenRuntime !== undefined) return givenRuntime;
  const { logger, metrics, tracer } = telemetry;
  const planes = await createPlanes({ ...config, logger });
  lifecycle.onShutdown('transports', 'planes', () => planes.close());
  const { namespace } = config;
  const runtime = await DistributedRuntime.connect({
    ...planes,
    namespace,
    logger,
    metrics,
    tracer,
  });
  runtime.joinLifecycle(lifecycle);
  return runtime;
}

function openService(seat: RouterSeat, runtime: DistributedRuntime): RouterParts {
  const { config, telemetry, lifecycle } = seat;
  const { logger, metrics, tracer } = telemetry;
  const factory = KvRouterFactory.create({ config, runtime, logger, metrics });
  const service = new RouterService({
    open: (path, blockSize) => factory.open({ path, blockSize }),
    follow: modelFollower(runtime, logger),
    blockSize: config.routerBlockSize,
    openFeed: (worker, sink) => openFeed(seat, worker, sink),
    leaseMs: config.routerLeaseMs,
    logger,
  });
  const forwarder = new RequestForwarder({ runtime, service, logger, metrics, tracer });
  lifecycle.onShutdown('abort', 'router', async () => {
    await forwarder.close();
    await service.close();
    await factory.close();
  });
  const [first = `${config.namespace}.backend.generate`, ...others] = config.endpoints;
  return { service, forwarder, endpoints: [first, ...others] };
}

async function openFeed(
  { telemetry }: RouterSeat,
  worker: RegisterWorkerRequest,
  sink: (payload: Uint8Array) => void,
): Promise<EngineFeedHandle> {
  const { logger, metrics } = telemetry;
  const workerId = asInstanceId(worker.workerId);
  const feed = new EngineFeed({ workerId, blockSize: worker.blockSize, sink, logger, metrics });
  try {
    for (const [rank, endpoint] of Object.entries(worker.kvEventsEndpoints)) {
      const dpRank = Number(rank);
      const replayEndpoint = worker.replayEndpoints[dpRank];
      await feed.listen({ dpRank, endpoint, replayEndpoint });
    }
  } catch (error) {
    await feed.close();
    throw error;
  }
  return feed;
}

/** Opens the routers of the known endpoints and waits a while until the workers' caches are known. */
async function restore(
  { telemetry, health }: RouterSeat,
  service: RouterService,
  endpoints: readonly string[],
): Promise<void> {
  health.setDetails(() => ({ routers: progressOf(service) }));
  const opening = endpoints.map((endpoint) => service.prepare(endpoint));
  for (const each of opening)
    each.catch((error: unknown) => {
      // Stopped before the endpoint's first worker came.
      if (error instanceof AbortReasonError && error.reason === 'shutdown') return;
      telemetry.logger.error('the router of an endpoint cannot be opened', { error });
    });
  // Without a worker there is nothing to wait for: its model card opens the router whenever it comes.
  await raceAbort(Promise.all(opening), deadlineSignal(CARDS_MS)).catch(() => undefined);
  const open = endpoints.flatMap((endpoint) => service.endpoints.routersOf(endpoint));
  const deadline = deadlineSignal(RESTORE_MS);
  try {
    await Promise.all(open.map((router) => router.ready({ signal: deadline })));
  } catch {
    telemetry.logger.warn('the index is not restored yet; routing begins with what is there', {
      routers: progressOf(service),
    });
  }
}

/** How far the index of each router has come, for `/health`. */
function progressOf(service: RouterService): Readonly<Record<string, unknown>> {
  const progress: Record<string, unknown> = {};
  for (const { name, router } of service.endpoints.all()) {
    const { blockSize, restored } = router;
    // One of them has the endpoint's name, for readers that know of no others.
    const key = name in progress ? `${name}/${blockSize}` : name;
    progress[key] = { block_size: blockSize, restored_ranks: restored.done, ranks: restored.total };
  }
  return progress;
}

async function serveGrpc(
  { config, lifecycle }: RouterSeat,
  { service, forwarder, endpoints }: RouterParts,
): Promise<number | undefined> {
  const { grpcHost: host, grpcPort: port } = config;
  if (port < 0) return undefined;
  const server = await createGrpcServer({
    host,
    port,
    portFlag: 'router-grpc-port',
    services: [routerGrpcService(service), engineGrpcService(forwarder, endpoints[0])],
    reflection: true,
    health: true,
  });
  lifecycle.onShutdown('not-ready', 'grpc health', () => {
    server.health.set(ROUTER_GRPC_SERVICE, false);
    server.health.set(ENGINE_GRPC_SERVICE, false);
  });
  lifecycle.onShutdown('transports', 'grpc', () => server.close());
  return server.port;
}

async function serveHttp(
  { config, telemetry, lifecycle }: RouterSeat,
  service: RouterService,
): Promise<number | undefined> {
  const { routerHttpHost: host, routerHttpPort: port = -1 } = config;
  if (port < 0) return undefined;
  const { logger, metrics } = telemetry;
  const server = await HttpServer.listen({
    host,
    port,
    logger,
    routes: routerRoutes(service, metrics),
  });
  lifecycle.onShutdown('transports', 'http', () => server.close());
  return server.port;
}

async function serveEndpoints(
  { config, lifecycle, givenRuntime }: RouterSeat,
  runtime: DistributedRuntime,
  { service, forwarder, endpoints }: RouterParts,
): Promise<void> {
  const { namespace } = config;
  const [endpoint] = endpoints;
  const served = [
    ...(await serveDynamoEndpoints({ runtime, namespace, service, forwarder, endpoint })),
    ...(await serveRouterEndpoints(runtime, namespace, service)),
  ];
  if (givenRuntime === undefined) return;
  // A given runtime goes on: only what was added to it is taken away.
  lifecycle.onShutdown('deregister', 'endpoints', async () => {
    await forEach(served, (each) => each.unregister());
  });
  lifecycle.onShutdown('abort', 'endpoints', async () => {
    await forEach(served, (each) => each.close());
  });
}

async function forEach(
  served: readonly ServedEndpoint[],
  action: (endpoint: ServedEndpoint) => Promise<void>,
): Promise<void> {
  await Promise.all(served.map(action));
}
