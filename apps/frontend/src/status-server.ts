/** The frontend's status server (`DYN_SYSTEM_PORT`): health, metrics, and the decisions of its routers. */
import type { Lifecycle } from '@dynamo-ts/base';
import { decisionPage } from '@dynamo-ts/routing';
import { HealthState, SystemServer } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';

import type { FrontendConfig } from './config.ts';
import type { ModelCatalog } from './models/model-catalog.ts';

/** What the server is made of. */
export interface StatusServerOptions {
  readonly config: FrontendConfig;
  readonly telemetry: Telemetry;
  readonly lifecycle: Lifecycle;
  readonly catalog: ModelCatalog;
}

/** Starts the server, or none when it has no port. @returns says that requests are taken */
export async function startStatusServer(options: StatusServerOptions): Promise<() => void> {
  const { config, telemetry, lifecycle, catalog } = options;
  const health = new HealthState({ startingStatus: config.systemStartingHealthStatus });
  const server = await SystemServer.listen({
    health,
    metrics: telemetry.metrics,
    logger: telemetry.logger,
    host: config.systemHost,
    port: config.systemPort,
    healthPath: config.systemHealthPath,
    livePath: config.systemLivePath,
    pages: (url) => decisionPage(catalog.decisionSources(), url),
  });
  lifecycle.onShutdown('not-ready', 'health', () => health.markClosing());
  lifecycle.onShutdown('telemetry', 'status server', () => server.close());
  return () => health.setEndpoint('http', 'ready');
}
