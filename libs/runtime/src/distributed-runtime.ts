/**
 * The root of a process's part in a deployment: runtime → namespace → component → endpoint → client.
 *
 * The planes belong to whoever made them; several runtimes of one process may share them. The instance id is random per
 * process start and independent of any lease.
 */
import {
  AbortReasonError,
  DynamoError,
  Lifecycle,
  createInstanceId,
  raceAbort,
} from '@dynamo-ts/base';
import type { InstanceId, LifecycleOptions } from '@dynamo-ts/base';
import { formatEndpointPath, parseEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { Logger, MetricsRegistry, Tracer } from '@dynamo-ts/telemetry';

import { Client } from './client.ts';
import type { ClientOptions } from './client.ts';
import { Namespace } from './component.ts';
import type { Discovery, DiscoveryRecord, Registration } from './discovery/discovery.ts';
import { Endpoint } from './endpoint.ts';
import type { EndpointHost, ServeEndpointOptions } from './endpoint.ts';
import { EndpointPool } from './endpoint-pool.ts';
import type { EventPlane } from './event-plane/event-plane.ts';
import { EndpointMetrics } from './endpoint-metrics.ts';
import { ingressHandler } from './ingress.ts';
import type { RawHandler, RequestPlane } from './request-plane/request-plane.ts';
import { ServedEndpoint } from './served-endpoint.ts';

/** What a {@link DistributedRuntime} is made of. */
export interface DistributedRuntimeOptions {
  readonly discovery: Discovery;
  readonly requestPlane: RequestPlane;
  readonly events: EventPlane;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  readonly tracer?: Tracer | undefined;
  /** Primary namespace. @default 'dynamo' */
  readonly namespace?: string | undefined;
  /** @default random */
  readonly instanceId?: InstanceId | undefined;
  /** Gives up waiting for discovery, in `serve` and `client`, because the process is asked to stop. */
  readonly signal?: AbortSignal | undefined;
  /** Shortest time in milliseconds that a faulty instance is left alone; 0 = never. @default 5000 */
  readonly inhibitedMs?: number | undefined;
}

interface SharedPool {
  readonly pool: EndpointPool;
  users: number;
}

/** A process's handle on the deployment. */
export class DistributedRuntime implements AsyncDisposable {
  readonly instanceId: InstanceId;
  readonly discovery: Discovery;
  readonly requestPlane: RequestPlane;
  readonly events: EventPlane;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry | undefined;
  readonly tracer: Tracer | undefined;
  readonly #namespace: string;
  readonly #inhibitedMs: number;
  readonly #served = new Set<ServedEndpoint>();
  readonly #records = new Set<Registration>();
  readonly #pools = new Map<string, SharedPool>();
  readonly #closed = new AbortController();
  /** Aborted when nothing waits for discovery any more. */
  readonly #stopping: AbortSignal;
  #closing: Promise<void> | undefined;

  private constructor(options: DistributedRuntimeOptions) {
    this.instanceId = options.instanceId ?? createInstanceId();
    this.discovery = options.discovery;
    this.requestPlane = options.requestPlane;
    this.events = options.events;
    this.logger = options.logger;
    this.metrics = options.metrics;
    this.tracer = options.tracer;
    this.#namespace = options.namespace ?? 'dynamo';
    this.#inhibitedMs = options.inhibitedMs ?? 5000;
    const { signal } = options;
    this.#stopping = signal ? AbortSignal.any([this.signal, signal]) : this.signal;
  }

  /** A runtime on these planes. */
  static async connect(options: DistributedRuntimeOptions): Promise<DistributedRuntime> {
    return Promise.resolve(new DistributedRuntime(options));
  }

  /** Aborted when the runtime closes; for work that lives as long as it. */
  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  namespace(name: string): Namespace {
    return new Namespace(name, this.#host());
  }

  /** The namespace this process belongs to (`DYN_NAMESPACE`). */
  namespacePrimary(): Namespace {
    return this.namespace(this.#namespace);
  }

  /** The endpoint of a path such as `dynamo.backend.generate` or `dyn://dynamo.backend.generate`. */
  endpoint(path: string): Endpoint {
    return new Endpoint(parseEndpointPath(path), this.#host());
  }

  /**
   * Keeps a record of this process in discovery, a model card for example, until it is closed or the runtime deregisters.
   * A second record under its key replaces it.
   */
  async register(record: DiscoveryRecord): Promise<Registration> {
    this.#throwIfClosed();
    const registration = await this.discovery.register(record, { signal: this.#stopping });
    const close = async (): Promise<void> => {
      this.#records.delete(kept);
      await registration.close();
    };
    const kept: Registration = { close, [Symbol.asyncDispose]: close };
    this.#records.add(kept);
    return kept;
  }

  /** Endpoints that this process serves now. */
  served(): readonly ServedEndpoint[] {
    return [...this.#served];
  }

  /**
   * Adds this runtime's steps to a service's shutdown: deregister, drain (endpoints served without graceful shutdown are
   * cut at once), abort what is left.
   */
  joinLifecycle(lifecycle: Lifecycle): void {
    lifecycle.onShutdown('deregister', 'instances', () => this.#deregister());
    lifecycle.onShutdown('drain', 'requests', (deadline) => this.#drain(deadline));
    lifecycle.onShutdown('abort', 'runtime', () => this.close());
  }

  /** Closes in the order of a graceful shutdown (RF 1.12), with its own life cycle. */
  async shutdown(options: Omit<LifecycleOptions, 'onError'> = {}): Promise<void> {
    const lifecycle = new Lifecycle({
      ...options,
      onError: (error, phase, step) => {
        this.logger.error('shutdown step failed', { error, phase, step });
      },
    });
    this.joinLifecycle(lifecycle);
    await lifecycle.close();
  }

  /** Deregisters, kills what runs, and stops; the planes stay open. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #host(): EndpointHost {
    return {
      serve: (path, handler, options) => this.#serve(path, handler, options),
      client: (path, options) => this.#client(path, options),
      publisher: (topic) => this.events.publisher(topic, this.instanceId),
    };
  }

  async #serve(
    path: EndpointPath,
    handler: RawHandler,
    options: ServeEndpointOptions,
  ): Promise<ServedEndpoint> {
    this.#throwIfClosed();
    const { instanceId, metrics, tracer } = this;
    const model = options.metricsLabels?.model ?? '';
    const observer = metrics && new EndpointMetrics(metrics, { path, instanceId, model });
    const served = await this.requestPlane.serve(
      { endpoint: path, instanceId, model: options.metricsLabels?.model, observer },
      ingressHandler(handler, { path, instanceId, metrics: observer, tracer }),
    );
    const endpoint = new ServedEndpoint({
      instance: {
        type: 'Endpoint',
        ...path,
        instanceId,
        transport: served.transport,
        deviceType: '',
      },
      served,
      discovery: this.discovery,
      gracefulShutdown: options.gracefulShutdown ?? true,
      healthCheckPayload: options.healthCheckPayload,
      onClose: (closed) => {
        this.#served.delete(closed);
      },
    });
    this.#served.add(endpoint);
    if (options.register ?? true) await raceAbort(endpoint.register(), this.#stopping);
    this.logger.info('endpoint is served', { endpoint: formatEndpointPath(path) });
    return endpoint;
  }

  async #client<Req, Res>(path: EndpointPath, options: ClientOptions): Promise<Client<Req, Res>> {
    this.#throwIfClosed();
    const name = formatEndpointPath(path);
    const shared = this.#pools.get(name) ?? this.#openPool(name, path);
    shared.users += 1;
    await shared.pool.instances.ready({ signal: this.#stopping });
    return new Client<Req, Res>({
      pool: shared.pool,
      options,
      release: () => this.#releasePool(name, shared),
    });
  }

  #openPool(name: string, path: EndpointPath): SharedPool {
    const { discovery, requestPlane } = this;
    const logger = this.logger.child({ endpoint: name });
    const inhibitedMs = this.#inhibitedMs;
    const pool = new EndpointPool({ path, discovery, requestPlane, logger, inhibitedMs });
    const shared = { pool, users: 0 };
    this.#pools.set(name, shared);
    return shared;
  }

  async #releasePool(name: string, shared: SharedPool): Promise<void> {
    shared.users -= 1;
    if (shared.users > 0) return;
    this.#pools.delete(name);
    await shared.pool.close();
  }

  async #deregister(): Promise<void> {
    await Promise.all([...this.#records].map((record) => record.close()));
    await Promise.all([...this.#served].map((endpoint) => endpoint.unregister()));
  }

  async #drain(deadline: AbortSignal): Promise<void> {
    const endpoints = [...this.#served];
    for (const endpoint of endpoints) endpoint.refuse();
    await Promise.all(endpoints.map((endpoint) => drainEndpoint(endpoint, deadline)));
  }

  async #close(): Promise<void> {
    this.#closed.abort(new AbortReasonError('shutdown'));
    await Promise.all([...this.#records].map((record) => record.close()));
    await Promise.all([...this.#served].map((endpoint) => endpoint.close()));
    await Promise.all([...this.#pools.values()].map(({ pool }) => pool.close()));
    this.#pools.clear();
  }

  #throwIfClosed(): void {
    if (this.signal.aborted)
      throw new DynamoError('runtime.closed', 'the distributed runtime is closed');
  }
}

async function drainEndpoint(endpoint: ServedEndpoint, deadline: AbortSignal): Promise<void> {
  if (endpoint.gracefulShutdown) await raceAbort(endpoint.idle(), deadline).catch(() => undefined);
  await endpoint.close();
}
