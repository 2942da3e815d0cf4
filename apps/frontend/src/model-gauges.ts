/** Gauges that describe the served models; computed when they are scraped. */
import type { MetricsRegistry } from '@dynamo-ts/telemetry';

import { FRONTEND_METRICS } from './metrics.ts';
import { migrationOf } from './migration/migration-settings.ts';
import type { MigrationSettings } from './migration/migration-settings.ts';
import type { ModelCatalog } from './models/model-catalog.ts';
import type { WorkerSet } from './models/worker-set.ts';

/** Adds the gauges. @returns removes them */
export function addModelGauges(
  metrics: MetricsRegistry,
  catalog: ModelCatalog,
  migration: MigrationSettings,
): () => void {
  const limitOf = ({ card }: WorkerSet): number => migrationOf(migration, card).limit;
  const gauges = [
    { spec: FRONTEND_METRICS.modelReady, of: isReady },
    { spec: FRONTEND_METRICS.modelContextLength, of: ({ card }: WorkerSet) => card.contextLength },
    {
      spec: FRONTEND_METRICS.modelKvCacheBlockSize,
      of: ({ card }: WorkerSet) => card.kvCacheBlockSize,
    },
    { spec: FRONTEND_METRICS.modelTotalKvBlocks, of: configured('totalKvBlocks') },
    { spec: FRONTEND_METRICS.modelMaxNumSeqs, of: configured('maxNumSeqs') },
    { spec: FRONTEND_METRICS.modelMaxNumBatchedTokens, of: configured('maxNumBatchedTokens') },
    { spec: FRONTEND_METRICS.modelMigrationLimit, of: limitOf },
  ].map(({ spec, of }) => ({ gauge: metrics.gauge(spec), of }));
  const streams = metrics
    .gauge(FRONTEND_METRICS.admissionGateUsed)
    .bind({ gate: 'request_plane_connection' });
  let known = new Set<string>();
  return metrics.onCollect(() => {
    streams.set(catalog.openStreams);
    const sets = new Map(catalog.sets().map((set) => [set.name, set]));
    for (const set of catalog.servable()) sets.set(set.name, set);
    for (const [model, set] of sets)
      for (const { gauge, of } of gauges) gauge.set({ model }, of(set));
    for (const model of known) {
      if (!sets.has(model)) for (const { gauge } of gauges) gauge.remove({ model });
    }
    known = new Set(sets.keys());
  });
}

function isReady({ liveWorkers }: WorkerSet): number {
  return liveWorkers > 0 ? 1 : 0;
}

function configured(field: 'totalKvBlocks' | 'maxNumSeqs' | 'maxNumBatchedTokens') {
  return ({ card }: WorkerSet): number => card.runtimeConfig?.[field] ?? 0;
}
