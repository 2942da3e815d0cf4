/** One run of an `HttpService`: from the open port to the end of the last answer. */
import { onAbort, raceAbort } from '@dynamo-ts/base';
import { loadConfig } from '@dynamo-ts/config';
import type { Telemetry } from '@dynamo-ts/telemetry';
import type { FastifyInstance } from 'fastify';

import { Admission } from '../admission.ts';
import { bucketsOf } from '../bucket-options.ts';
import { AdmissionGates } from '../admission-gates.ts';
import { FRONTEND_OPTIONS } from '../config.ts';
import type { FrontendConfig } from '../config.ts';
import { FrontendMetrics } from '../frontend-metrics.ts';
import { CHAT_ENDPOINT, COMPLETION_ENDPOINT } from '../http/generation-endpoint.ts';
import { GenerationHandler } from '../http/generation-handler.ts';
import type { GenerationHandlerOptions } from '../http/generation-handler.ts';
import { generationSettings } from '../http/generation-settings.ts';
import { addGenerationRoute, createHttpServer, listen } from '../http/http-server.ts';
import { SseKeepAlive } from '../http/keep-alive.ts';
import { addModelRoutes } from '../http/models-routes.ts';
import { addMetricsRoute } from '../http/status-routes.ts';
import type { DeploymentState } from './deployment-state.ts';
import { OpenResponses } from './open-responses.ts';

/** What is served, and where. */
export interface ServingOptions {
  readonly host: string;
  readonly port: number;
  readonly chatEndpoints: boolean;
  readonly completionsEndpoints: boolean;
  /** Longest wait for requests that run; undefined = as long as they take. */
  readonly drainTimeoutMs: number | undefined;
  readonly telemetry: Telemetry;
  readonly state: DeploymentState;
}

/** How long requests that were cut may take to say so to their clients. */
const CUT_TIMEOUT_MS = 1000;

/** A service whose port is open. */
export class HttpServing {
  /** `http://host:port`. */
  readonly url: string;
  /** Resolves when the last answer has ended after the stop. @throws what broke the server */
  readonly finished: Promise<void>;
  readonly #options: ServingOptions;
  readonly #app: FastifyInstance;
  readonly #admission: Admission;
  readonly #responses: OpenResponses;

  private constructor(parts: ServingParts, options: ServingOptions, signal: AbortSignal) {
    this.#options = options;
    this.#app = parts.app;
    this.#admission = parts.admission;
    this.#responses = new OpenResponses(parts.app.server);
    this.url = parts.app.listeningOrigin;
    this.finished = this.#finish(parts.keepAlive, signal);
  }

  /** Opens the port. @throws `config.port_in_use`, `config.invalid` with `could not bind to address: host:port` */
  static async start(options: ServingOptions, signal: AbortSignal): Promise<HttpServing> {
    const parts = assemble(options);
    try {
      await listen(parts.app, options, 'choose another port');
    } catch (error) {
      parts.keepAlive.close();
      await parts.app.close();
      throw error;
    }
    const serving = new HttpServing(parts, options, signal);
    options.telemetry.logger.info('http service is listening', { url: serving.url });
    return serving;
  }

  async #finish(keepAlive: SseKeepAlive, signal: AbortSignal): Promise<void> {
    const broken = new Promise<never>((_resolve, reject) => {
      this.#app.server.on('error', reject);
    });
    const asked = Promise.withResolvers<undefined>();
    const off = onAbort(signal, () => asked.resolve(undefined));
    try {
      await Promise.race([asked.promise, broken]);
    } finally {
      off();
      await this.#stop();
      keepAlive.close();
    }
  }

  /** Stops accepting, then waits for what runs. */
  async #stop(): Promise<void> {
    const { drainTimeoutMs } = this.#options;
    this.#admission.refuse();
    const closed = this.#app.close();
    const ended = this.#responses.none();
    if (drainTimeoutMs === undefined) await ended;
    else await within(ended, drainTimeoutMs);
    this.#admission.killAll();
    await within(ended, CUT_TIMEOUT_MS);
    this.#app.server.closeAllConnections();
    await closed;
  }
}

interface ServingParts {
  readonly app: FastifyInstance;
  readonly admission: Admission;
  readonly keepAlive: SseKeepAlive;
}

function assemble(options: ServingOptions): ServingParts {
  const { telemetry, state } = options;
  const { metrics } = telemetry;
  const config = defaults();
  const admission = new Admission();
  const keepAlive = new SseKeepAlive(config.httpSseKeepAliveIntervalMs);
  const app = createHttpServer(telemetry.logger, config.httpOverloadStatusCode);
  const shared: Omit<GenerationHandlerOptions, 'models'> = {
    metrics: new FrontendMetrics(metrics, bucketsOf(config)),
    telemetry,
    admission,
    gates: new AdmissionGates(config, { openStreams: () => 0, metrics }),
    keepAlive,
    settings: generationSettings(config),
  };
  if (options.chatEndpoints) {
    const handler = new GenerationHandler({ ...shared, models: state.chatCompletions });
    addGenerationRoute(app, handler, config.chatPath, CHAT_ENDPOINT);
  }
  if (options.completionsEndpoints) {
    const handler = new GenerationHandler({ ...shared, models: state.completions });
    addGenerationRoute(app, handler, config.completionsPath, COMPLETION_ENDPOINT);
  }
  const both = [state.chatCompletions, state.completions];
  const listed = {
    servable: () => both.flatMap((engines) => engines.servable()),
    unavailable: () => [],
    canonicalName: (name: string) => both.find((engines) => engines.contains(name)) && name,
  };
  addModelRoutes(app, listed, config.modelsPath);
  addMetricsRoute(app, metrics, config.metricsPath);
  return { app, admission, keepAlive };
}

/** Limits, paths and histograms of the frontend service; there is one engine per model, so nothing can move. */
function defaults(): FrontendConfig {
  const { config } = loadConfig(FRONTEND_OPTIONS, {
    argv: [],
    env: {},
    command: 'http-service',
    summary: '',
  });
  return { ...config, migrationLimit: 0 };
}

async function within(work: Promise<void>, timeoutMs: number): Promise<void> {
  await raceAbort(work, AbortSignal.timeout(timeoutMs)).catch(() => undefined);
}
