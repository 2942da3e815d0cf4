/**
 * The router service: placement and bookings for frontends in other processes, on the request plane and over gRPC.
 */
import { Lifecycle } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import {
  LocalEndpointRouter,
  RouterService,
  routerEndpointPath,
  serveRouterEndpoints,
} from '@dynamo-ts/routing';
import { DistributedRuntime, createGrpcServer, createPlanes } from '@dynamo-ts/runtime';
import type { ServedEndpoint } from '@dynamo-ts/runtime';
import { HealthState, SystemServer, createTelemetry } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';

import type { RouterConfig } from './config.ts';
import { ROUTER_GRPC_SERVICE, routerGrpcService } from './grpc-service.ts';

/** What a process that holds several services gives to each; what is given is not closed here. */
export interface RouterDeps {
  readonly runtime?: DistributedRuntime | undefined;
  readonly telemetry?: Telemetry | undefined;
}

/** A router service. */
export interface RouterApp {
  /** Resolves when it can be asked. */
  start(): Promise<void>;
  /** Stops gracefully; also after a start that failed. Idempotent. */
  close(): Promise<void>;
  /** Port of the gRPC service once started; undefined when it is off. */
  readonly grpcPort: number | undefined;
  /** Port of the status server once started; undefined when it is off. */
  readonly systemPort: number | undefined;
}

/** Makes a router service that is not started yet. */
export function createRouter(config: RouterConfig, deps: RouterDeps = {}): RouterApp {
  return new RouterProcess(config, deps);
}

class RouterProcess implements RouterApp {
  readonly #config: RouterConfig;
  readonly #telemetry: Telemetry;
  readonly #lifecycle: Lifecycle;
  readonly #health: HealthState;
  readonly #givenRuntime: DistributedRuntime | undefined;
  #grpcPort: number | undefined;
  #systemPort: number | undefined;

  constructor(config: RouterConfig, deps: RouterDeps) {
    this.#config = config;
    this.#telemetry = deps.telemetry ?? createTelemetry({ service: 'router', ...config });
    this.#givenRuntime = deps.runtime;
    this.#health = new HealthState({ startingStatus: config.systemStartingHealthStatus });
    this.#lifecycle = new Lifecycle({
      gracePeriodMs: config.gracePeriodMs,
      onError: (error, phase, step) => {
        this.#telemetry.logger.error('shutdown step failed', { error, phase, step });
      },
    });
    if (deps.telemetry === undefined)
      this.#lifecycle.onShutdown('telemetry', 'telemetry', () => this.#telemetry.close());
    this.#lifecycle.onShutdown('not-ready', 'health', () => {
      this.#health.markClosing();
    });
  }

  get grpcPort(): number | undefined {
    return this.#grpcPort;
  }

  get systemPort(): number | undefined {
    return this.#systemPort;
  }

  async start(): Promise<void> {
    await this.#startSystemServer();
    const runtime = await this.#connect();
    const service = await this.#prepareService(runtime);
    await this.#serveEndpoints(runtime, service);
    await this.#serveGrpc(service);
    const path = formatEndpointPath(routerEndpointPath(this.#config.namespace, 'route'));
    this.#health.setEndpoint(path, 'ready');
    this.#telemetry.logger.info('router is ready', {
      endpoint: path,
      router_mode: this.#config.routerMode,
      grpc_port: this.#grpcPort,
    });
  }

  async close(): Promise<void> {
    await this.#lifecycle.close();
  }

  async #startSystemServer(): Promise<void> {
    const { systemHost, systemPort, systemHealthPath, systemLivePath } = this.#config;
    const server = await SystemServer.listen({
      health: this.#health,
      metrics: this.#telemetry.metrics,
      logger: this.#telemetry.logger,
      host: systemHost,
      port: systemPort,
      healthPath: systemHealthPath,
      livePath: systemLivePath,
    });
    this.#lifecycle.onShutdown('telemetry', 'status server', () => server.close());
    this.#systemPort = server.port;
  }

  async #connect(): Promise<DistributedRuntime> {
    if (this.#givenRuntime !== undefined) return this.#givenRuntime;
    const { logger, metrics, tracer } = this.#telemetry;
    const { namespace } = this.#config;
    const planes = await createPlanes({ ...this.#config, logger });
    this.#lifecycle.onShutdown('transports', 'planes', () => planes.close());
    const runtime = await DistributedRuntime.connect({
      ...planes,
      namespace,
      logger,
      metrics,
      tracer,
    });
    runtime.joinLifecycle(this.#lifecycle);
    return runtime;
  }

  async #prepareService(runtime: DistributedRuntime): Promise<RouterService> {
    const { routerMode: mode, bookingExpiryMs, endpoints, namespace } = this.#config;
    const { metrics, logger } = this.#telemetry;
    const service = new RouterService({
      open: async (path) => {
        const client = await runtime.endpoint(formatEndpointPath(path)).client();
        const routerId = runtime.instanceId;
        return new LocalEndpointRouter({ client, routerId, mode, bookingExpiryMs, metrics });
      },
      leaseMs: this.#config.leaseMs,
      logger,
    });
    this.#lifecycle.onShutdown('abort', 'router', () => service.close());
    const known = endpoints.length > 0 ? endpoints : [`${namespace}.backend.generate`];
    await Promise.all(known.map((endpoint) => service.prepare(endpoint)));
    return service;
  }

  async #serveEndpoints(runtime: DistributedRuntime, service: RouterService): Promise<void> {
    const served = await serveRouterEndpoints(runtime, this.#config.namespace, service);
    if (this.#givenRuntime === undefined) return;
    // A given runtime goes on: only what was added to it is taken away.
    this.#lifecycle.onShutdown('deregister', 'endpoints', async () => {
      await forEach(served, (endpoint) => endpoint.unregister());
    });
    this.#lifecycle.onShutdown('abort', 'endpoints', async () => {
      await forEach(served, (endpoint) => endpoint.close());
    });
  }

  async #serveGrpc(service: RouterService): Promise<void> {
    const { grpcHost: host, grpcPort: port } = this.#config;
    if (port < 0) return;
    const server = await createGrpcServer({
      host,
      port,
      services: [routerGrpcService(service)],
      reflection: true,
      health: true,
    });
    server.health.set(ROUTER_GRPC_SERVICE, true);
    this.#grpcPort = server.port;
    this.#lifecycle.onShutdown('not-ready', 'grpc health', () => {
      server.health.set(ROUTER_GRPC_SERVICE, false);
    });
    this.#lifecycle.onShutdown('transports', 'grpc', () => server.close());
  }
}

async function forEach(
  served: readonly ServedEndpoint[],
  action: (endpoint: ServedEndpoint) => Promise<void>,
): Promise<void> {
  await Promise.all(served.map(action));
}
