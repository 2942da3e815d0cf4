/** `/health`, `/live`, `/metrics` (RF 3.3). */
import { EndpointInstance, endpointUri } from '@dynamo-ts/protocol';
import { METRICS_CONTENT_TYPE } from '@dynamo-ts/telemetry';
import type { MetricsRegistry } from '@dynamo-ts/telemetry';
import type { FastifyInstance } from 'fastify';

import type { Admission } from '../admission.ts';
import type { ModelDirectory } from '../models/model-directory.ts';
import type { RouterState } from '../models/model-workers.ts';

/** What the routes report on. */
export interface StatusRoutesOptions {
  readonly admission: Admission;
  readonly models: ModelDirectory;
  readonly metrics: MetricsRegistry;
}

/** Paths of the routes. */
export interface StatusPaths {
  readonly health: string;
  readonly live: string;
  readonly metrics: string;
}

/** Adds the routes. */
export function addStatusRoutes(
  app: FastifyInstance,
  options: StatusRoutesOptions,
  paths: StatusPaths,
): void {
  app.get(paths.live, () => ({ status: 'live', message: 'Service is live' }));
  app.get(paths.health, async (_request, reply) => {
    const body = healthBody(options);
    await reply.code(body.status === 'healthy' ? 200 : 503).send(body);
  });
  addMetricsRoute(app, options.metrics, paths.metrics);
}

/** Adds the page of metrics. */
export function addMetricsRoute(
  app: FastifyInstance,
  metrics: MetricsRegistry,
  path: string,
): void {
  app.get(path, async (_request, reply) => {
    await reply.type(METRICS_CONTENT_TYPE).send(await metrics.text());
  });
}

function healthBody({ admission, models }: StatusRoutesOptions) {
  const sets = models.catalog.servable();
  // Models of one endpoint share its instances, and those with blocks of one size its router.
  const endpoints = new Map(sets.map((set) => [endpointUri(set.path), set]));
  const routers = new Map(
    sets.flatMap(({ loaded }) => {
      const state = loaded?.workers.routerState();
      return state === undefined ? [] : [[`${state.endpoint}/${state.blockSize}`, state] as const];
    }),
  );
  const status = admission.refusing ? 'shutting_down' : models.ready ? 'healthy' : 'not_ready';
  return {
    status,
    message: MESSAGES[status],
    initial_discovery_complete: models.ready,
    initial_discovery_error: null,
    models: [...new Set(sets.map((set) => set.name))],
    endpoints: [...endpoints.keys()],
    routers: [...routers.values()].map(routerBody),
    instances: [...endpoints.values()].flatMap(({ loaded }) =>
      (loaded?.workers.client.instances() ?? []).map((instance) =>
        EndpointInstance.toJSON(instance),
      ),
    ),
  };
}

/** How far a router is with learning what its workers have cached, and whom it trusts. */
function routerBody({ endpoint, blockSize, restored, index }: RouterState) {
  const ranks = Map.groupBy(index.ranks, (rank) => rank.state);
  return {
    endpoint,
    block_size: blockSize,
    restored: restored.done,
    total: restored.total,
    index: {
      blocks: Number(index.blocks),
      bytes: Number(index.bytes),
      ranks: Object.fromEntries([...ranks].map(([name, those]) => [name, those.length])),
    },
  };
}

const MESSAGES = {
  healthy: 'Service is ready',
  not_ready: 'The first look at discovery is not complete',
  shutting_down: 'Service is shutting down',
} as const;
