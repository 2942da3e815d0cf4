/** Parts of the router alone: an HTTP port over groups of engines, without discovery, frontends or gRPC. */
import { createInstanceId } from '@dynamo-ts/base';
import { kvRouterSettings } from '@dynamo-ts/routing';
import type { KvRouterSettings } from '@dynamo-ts/routing';
import { METRICS_CONTENT_TYPE } from '@dynamo-ts/telemetry';
import type { MetricsRegistry } from '@dynamo-ts/telemetry';

import type { RouterSeat, StartedForm } from '../router-seat.ts';
import type { RouterConfig, RouterForm } from '../config.ts';
import { HttpServer } from '../http/http-server.ts';
import type { HttpRoute } from '../http/http-server.ts';
import { IndexPeers } from './index-peers.ts';
import { IndexerApi } from './indexer-routes.ts';
import { SelectionApi } from './selection-routes.ts';
import { SlotTrackerApi } from './slot-tracker-routes.ts';
import { StandaloneMeter } from './standalone-meter.ts';
import { WorkerGroups } from './worker-groups.ts';

/** What can stand alone. */
export type StandaloneForm = Exclude<RouterForm, 'router'>;

/** The reference's ports. */
const PORTS: Readonly<Record<StandaloneForm, number>> = {
  indexer: 8090,
  'slot-tracker': 8091,
  selection: 8092,
};

const NOUNS: Readonly<Record<StandaloneForm, string>> = {
  indexer: 'indexer',
  'slot-tracker': 'slot tracker',
  selection: 'selection service',
};

/** Starts a part of the router; it can be asked when this resolves. */
export async function startStandaloneForm(
  { config, telemetry, lifecycle, health }: RouterSeat,
  form: StandaloneForm,
): Promise<StartedForm> {
  const { logger, metrics } = telemetry;
  const groups = new WorkerGroups({
    routerId: createInstanceId(),
    settings: settingsOf(config),
    logger,
    metrics,
    noun: NOUNS[form],
  });
  lifecycle.onShutdown('abort', 'engines', () => groups.close());
  const meter = new StandaloneMeter(metrics);
  const routes = await routesOf();
  const server = await HttpServer.listen({
    host: config.routerHttpHost,
    port:
      config.routerHttpPort === undefined || config.routerHttpPort < 0
        ? PORTS[form]
        : config.routerHttpPort,
    logger,
    routes: [...routes, metricsRoute(metrics)],
    onAnswer: (answer) => {
      meter.answered(answer);
    },
  });
  lifecycle.onShutdown('transports', 'http', () => server.close());
  health.setEndpoint(form, 'ready');
  logger.info(`${NOUNS[form]} is ready`, { http_port: server.port });
  return { httpPort: server.port };

  async function indexer(): Promise<readonly HttpRoute[]> {
    const peers = new IndexPeers(config.indexerPeers, logger);
    const api = new IndexerApi(groups, peers);
    const peer = await peers.restore((body) => api.register(body), groups);
    if (peer !== undefined) logger.info('the index was taken over from a peer', { peer });
    lifecycle.onShutdown(
      'telemetry',
      'meter',
      meter.follow(() => api.counts()),
    );
    return api.routes();
  }

  async function routesOf(): Promise<readonly HttpRoute[]> {
    switch (form) {
      case 'indexer':
        return indexer();
      case 'slot-tracker':
        return new SlotTrackerApi(groups, config.routerLeaseMs).routes();
      case 'selection':
        return new SelectionApi(groups, config.routerLeaseMs).routes();
    }
  }
}

function metricsRoute(metrics: MetricsRegistry): HttpRoute {
  return {
    method: 'GET',
    path: '/metrics',
    answer: async () => ({ text: { type: METRICS_CONTENT_TYPE, body: await metrics.text() } }),
  };
}

/** No decisions are made here, and requests that nobody frees go after a lease. */
function settingsOf(config: RouterConfig): Partial<KvRouterSettings> {
  return {
    ...kvRouterSettings(config),
    bookingExpiryMs: config.routerLeaseMs,
    decisionRingBytes: 0,
  };
}
