/** Every route of the frontend, at the paths that the configuration gives them. */
import type { BusyThresholds } from '@dynamo-ts/routing';
import type { MetricsRegistry } from '@dynamo-ts/telemetry';
import type { FastifyInstance } from 'fastify';

import type { Admission } from '../admission.ts';
import type { FrontendConfig } from '../config.ts';
import type { ModelDirectory } from '../models/model-directory.ts';
import { addBusyRoutes } from './busy-routes.ts';
import { addDecisionRoutes, isLoopback } from './decision-routes.ts';
import type { GenerationHandler } from './generation-handler.ts';
import { addGenerationRoutes } from './http-server.ts';
import { addModelRoutes } from './models-routes.ts';
import { addStatusRoutes } from './status-routes.ts';

/** What the routes work with. */
export interface RoutesOptions {
  readonly config: FrontendConfig;
  readonly handler: GenerationHandler;
  readonly models: ModelDirectory;
  readonly admission: Admission;
  readonly metrics: MetricsRegistry;
  readonly thresholds: BusyThresholds;
}

/** Adds the routes. */
export function addRoutes(app: FastifyInstance, options: RoutesOptions): void {
  const { config, handler, models, admission, metrics, thresholds } = options;
  addGenerationRoutes(app, handler, { chat: config.chatPath, completions: config.completionsPath });
  const { catalog } = models;
  const listed = {
    servable: () => catalog.servable(),
    unavailable: () => (config.listUnavailableModels ? catalog.sets() : []),
    canonicalName: (name: string) => catalog.canonicalName(name),
  };
  addModelRoutes(app, listed, config.modelsPath);
  addStatusRoutes(
    app,
    { admission, models, metrics },
    { health: config.healthPath, live: config.livePath, metrics: config.metricsPath },
  );
  if (!config.disableAdminApi) addBusyRoutes(app, thresholds, catalog);
  if (isLoopback(config.httpHost)) addDecisionRoutes(app, () => catalog.decisionSources());
}
