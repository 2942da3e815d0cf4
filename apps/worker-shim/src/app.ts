/** Puts a worker together; the one place of this service that makes things. */
import { DynamoError, Lifecycle } from '@dynamo-ts/base';
import type { EndpointPath } from '@dynamo-ts/protocol';
import { parseEndpointPath } from '@dynamo-ts/protocol';
import { CardFileCache } from '@dynamo-ts/preprocess';
import { DistributedRuntime, createPlanes } from '@dynamo-ts/runtime';
import { HealthState, SystemServer, createTelemetry } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';

import type { WorkerConfig } from './config.ts';
import { createEngine } from './shell/create-engine.ts';
import { engineAction, enginePage } from './shell/engine-routes.ts';
import type { EngineRoutesOptions } from './shell/engine-routes.ts';
import { Worker } from './shell/worker.ts';

/** What a worker may be given instead of making its own; given ones are left open. */
export interface WorkerShimDeps {
  readonly runtime?: DistributedRuntime | undefined;
  readonly telemetry?: Telemetry | undefined;
}

/** A worker process's service. */
export interface WorkerShim {
  /** Resolves when the engine answers and the worker is registered. @throws `config.invalid`, `model.invalid` */
  start(): Promise<void>;
  /** Stops gracefully: deregisters, lets requests finish, stops the engine. Idempotent. */
  close(): Promise<void>;
}

/** Makes a worker for one engine. */
export function createWorkerShim(config: WorkerConfig, deps: WorkerShimDeps = {}): WorkerShim {
  const telemetry = deps.telemetry ?? createTelemetry({ service: 'worker', ...config });
  const logger = telemetry.logger.child({ target: 'worker' });
  const lifecycle = new Lifecycle({
    drainTimeoutMs: config.drainTimeoutMs,
    onError: (error, phase, step) => {
      logger.error('shutdown step failed', { error, phase, step });
    },
  });
  if (deps.telemetry === undefined) {
    lifecycle.onShutdown('telemetry', 'telemetry', () => telemetry.close());
  }
  const start = async (): Promise<void> => {
    const health = new HealthState({ startingStatus: config.systemStartingHealthStatus });
    const serving: { routes?: EngineRoutesOptions } = {};
    if (deps.telemetry === undefined) {
      await startSystemServer({ config, telemetry, health, lifecycle, serving });
    }
    const runtime = deps.runtime ?? (await connectRuntime({ config, telemetry, lifecycle }));
    const cache = new CardFileCache();
    const engine = await createEngine({ config, cache, logger });
    const path = workerPath(config);
    const worker = new Worker({ config, runtime, engine, cache, health, path, telemetry, logger });
    const { sleepMode } = worker;
    serving.routes = { sleepMode, defaultLevel: config.sleepModeLevel };
    health.setDetails(() => (sleepMode.level === undefined ? {} : { sleeping: sleepMode.level }));
    worker.joinLifecycle(lifecycle);
    throwIfClosing(lifecycle);
    await worker.start();
  };
  let started: Promise<void> | undefined;
  return {
    start: () => (started ??= start()),
    close: () => lifecycle.close(),
  };
}

/** The endpoint that this worker serves. @throws `config.invalid` when `--endpoint` is no endpoint path */
export function workerPath(config: WorkerConfig): EndpointPath {
  const { component, endpoint, namespace } = config;
  return endpoint === undefined
    ? { namespace, component, endpoint: 'generate' }
    : parseEndpointPath(endpoint);
}

interface Parts {
  readonly config: WorkerConfig;
  readonly telemetry: Telemetry;
  readonly lifecycle: Lifecycle;
}

interface SystemParts extends Parts {
  readonly health: HealthState;
  /** Without routes until there is a worker. */
  readonly serving: { readonly routes?: EngineRoutesOptions };
}

async function startSystemServer(parts: SystemParts): Promise<void> {
  const { config, health, lifecycle, serving, telemetry } = parts;
  const system = await SystemServer.listen({
    health,
    metrics: telemetry.metrics,
    logger: telemetry.logger.child({ target: 'worker.system' }),
    host: config.systemHost,
    port: config.systemPort,
    healthPath: config.systemHealthPath,
    livePath: config.systemLivePath,
    pages: async (url) => enginePage(url, serving.routes),
    actions: async (action) => engineAction(action, serving.routes),
  });
  lifecycle.onShutdown('telemetry', 'status server', () => system.close());
}

async function connectRuntime({
  config,
  telemetry,
  lifecycle,
}: Parts): Promise<DistributedRuntime> {
  const { logger, metrics, tracer } = telemetry;
  const planes = await createPlanes({ ...config, logger });
  lifecycle.onShutdown('transports', 'planes', () => planes.close());
  const { namespace } = config;
  const runtime = await DistributedRuntime.connect({
    ...planes,
    logger,
    metrics,
    tracer,
    namespace,
  });
  lifecycle.onShutdown('transports', 'runtime', () => runtime.close());
  return runtime;
}

function throwIfClosing(lifecycle: Lifecycle): void {
  if (lifecycle.closing) throw new DynamoError('runtime.closed', 'the worker is stopping');
}
