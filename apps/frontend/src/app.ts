/** Composition root of the frontend: everything is made, connected and closed here. */
import { Lifecycle, raceAbort } from '@dynamo-ts/base';
import { CardFileCache } from '@dynamo-ts/preprocess';
import { KvRouterFactory } from '@dynamo-ts/routing';
import type { BusyThresholds } from '@dynamo-ts/routing';
import { DistributedRuntime, createPlanes } from '@dynamo-ts/runtime';
import type { Planes } from '@dynamo-ts/runtime';
import { createTelemetry } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';
import type { FastifyInstance } from 'fastify';

import { AdmissionGates } from './admission-gates.ts';
import { Admission } from './admission.ts';
import { bucketsOf } from './bucket-options.ts';
import type { FrontendConfig } from './config.ts';
import { EventLoopCanary } from './event-loop-canary.ts';
import { FrontendMetrics } from './frontend-metrics.ts';
import { GenerationHandler } from './http/generation-handler.ts';
import { generationSettings } from './http/generation-settings.ts';
import { createHttpServer, listen } from './http/http-server.ts';
import { SseKeepAlive } from './http/keep-alive.ts';
import { addRoutes } from './http/routes.ts';
import { addModelGauges } from './model-gauges.ts';
import { ModelDirectory } from './models/model-directory.ts';
import { startStatusServer } from './status-server.ts';

/** What may be given instead of being made from the configuration. */
export interface FrontendDeps {
  readonly runtime?: DistributedRuntime | undefined;
  readonly telemetry?: Telemetry | undefined;
}

/** A running frontend. */
export interface Frontend {
  /** Serves; resolves when the port is open. @throws `config.port_in_use` */
  start(): Promise<void>;
  /** Stops gracefully: refuses new requests, lets admitted ones finish, ends what is left. Idempotent. */
  close(): Promise<void>;
  /** `http://host:port`, once started. */
  readonly url: string;
  readonly models: ModelDirectory;
}

/** How long requests that were cut may take to say so to their clients. */
const CUT_TIMEOUT_MS = 1000;

/** Makes a frontend. What is in `deps` stays open when it closes. */
export async function createFrontend(
  config: FrontendConfig,
  deps: FrontendDeps = {},
): Promise<Frontend> {
  const telemetry = deps.telemetry ?? createTelemetry({ service: 'frontend', ...config });
  const logger = telemetry.logger.child({ target: 'frontend' });
  const lifecycle = new Lifecycle({
    drainTimeoutMs: config.httpGracefulShutdownTimeoutMs,
    onError: (error, phase, step) => logger.error('shutdown step failed', { phase, step, error }),
  });
  if (deps.telemetry === undefined) {
    lifecycle.onShutdown('telemetry', 'telemetry', () => telemetry.close());
  }
  const runtime = deps.runtime ?? (await connectRuntime(config, telemetry, lifecycle));
  const routers = KvRouterFactory.create({
    config,
    runtime,
    logger: telemetry.logger.child({ target: 'frontend.router' }),
    metrics: telemetry.metrics,
  });
  const { thresholds } = routers;
  const models = new ModelDirectory({
    ...config,
    runtime,
    telemetry,
    cache: new CardFileCache(
      config.modelCacheDir === undefined ? {} : { directory: config.modelCacheDir },
    ),
    lingerMs: config.modelLingerMs,
    routers,
  });
  lifecycle.onShutdown('transports', 'models', async () => {
    await models.close();
    await routers.close();
  });
  const app = createServer({ config, telemetry, models, lifecycle, thresholds });
  return {
    models,
    get url() {
      return app.listeningOrigin;
    },
    start: async () => {
      const tellReady = await startStatusServer({
        config,
        telemetry,
        lifecycle,
        catalog: models.catalog,
      });
      models.start();
      await listen(
        app,
        { host: config.httpHost, port: config.httpPort },
        'choose another with --http-port',
      );
      tellReady();
      logger.info('frontend is listening', { url: app.listeningOrigin });
    },
    close: () => lifecycle.close(),
  };
}

interface ServerParts {
  readonly thresholds: BusyThresholds;
  readonly config: FrontendConfig;
  readonly telemetry: Telemetry;
  readonly models: ModelDirectory;
  readonly lifecycle: Lifecycle;
}

function createServer(parts: ServerParts): FastifyInstance {
  const { config, telemetry, models, lifecycle, thresholds } = parts;
  const admission = new Admission();
  const keepAlive = new SseKeepAlive(config.httpSseKeepAliveIntervalMs);
  const canary = new EventLoopCanary(telemetry.metrics);
  const settings = generationSettings(config);
  const { migration } = settings;
  const removeGauges = addModelGauges(telemetry.metrics, models.catalog, migration);
  const logger = telemetry.logger.child({ target: 'frontend.http' });
  const handler = new GenerationHandler({
    models: models.catalog,
    metrics: new FrontendMetrics(telemetry.metrics, bucketsOf(config)),
    telemetry,
    admission,
    gates: new AdmissionGates(config, {
      openStreams: () => models.catalog.openStreams,
      metrics: telemetry.metrics,
    }),
    keepAlive,
    settings,
  });
  const app = createHttpServer(logger, config.httpOverloadStatusCode);
  const { metrics } = telemetry;
  addRoutes(app, { config, handler, models, admission, metrics, thresholds });
  lifecycle.onShutdown('not-ready', 'admission', () => admission.refuse());
  lifecycle.onShutdown('drain', 'requests', (deadline) =>
    raceAbort(admission.idle(), deadline).catch(() => undefined),
  );
  lifecycle.onShutdown('abort', 'requests', async () => {
    admission.killAll();
    await raceAbort(admission.idle(), AbortSignal.timeout(CUT_TIMEOUT_MS)).catch(() => undefined);
  });
  lifecycle.onShutdown('transports', 'http', async () => {
    keepAlive.close();
    canary.close();
    removeGauges();
    const closed = app.close();
    app.server.closeAllConnections();
    await closed;
  });
  return app;
}

async function connectRuntime(
  config: FrontendConfig,
  telemetry: Telemetry,
  lifecycle: Lifecycle,
): Promise<DistributedRuntime> {
  const { logger, metrics, tracer } = telemetry;
  const planes: Planes = await createPlanes({ ...config, logger });
  const { namespace } = config;
  const runtime = await DistributedRuntime.connect({
    ...planes,
    ...(namespace === undefined ? {} : { namespace }),
    logger,
    metrics,
    tracer,
  });
  lifecycle.onShutdown('transports', 'planes', () => planes.close());
  lifecycle.onShutdown('transports', 'runtime', () => runtime.close());
  return runtime;
}
