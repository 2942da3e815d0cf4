/** Gauges that describe the served models; computed when they are scraped. */
import type { MetricsRegistry } from '@dynamo-ts/telemetry';

import { FRONTEND_METRICS } from './metrics.ts';
import type { ModelCatalog } from './models/model-catalog.ts';

/** Adds the gauges. @returns removes them */
export function addModelGauges(
  metrics: MetricsRegistry,
  catalog: ModelCatalog,
  migrationLimit: number,
): () => void {
  const ready = metrics.gauge(FRONTEND_METRICS.modelReady);
  const contextLength = metrics.gauge(FRONTEND_METRICS.modelContextLength);
  const blockSize = metrics.gauge(FRONTEND_METRICS.modelKvCacheBlockSize);
  const totalBlocks = metrics.gauge(FRONTEND_METRICS.modelTotalKvBlocks);
  const maxNumSeqs = metrics.gauge(FRONTEND_METRICS.modelMaxNumSeqs);
  const maxBatched = metrics.gauge(FRONTEND_METRICS.modelMaxNumBatchedTokens);
  const limit = metrics.gauge(FRONTEND_METRICS.modelMigrationLimit);
  let known = new Set<string>();
  return metrics.onCollect(() => {
    const present = new Set<string>();
    const servable = new Set<string>();
    for (const { name: model, card, liveWorkers } of catalog.sets()) {
      const labels = { model };
      const config = card.runtimeConfig;
      if (liveWorkers > 0) servable.add(model);
      contextLength.set(labels, card.contextLength);
      blockSize.set(labels, card.kvCacheBlockSize);
      totalBlocks.set(labels, config?.totalKvBlocks ?? 0);
      maxNumSeqs.set(labels, config?.maxNumSeqs ?? 0);
      maxBatched.set(labels, config?.maxNumBatchedTokens ?? 0);
      limit.set(labels, migrationLimit);
      present.add(model);
    }
    const gauges = [ready, contextLength, blockSize, totalBlocks, maxNumSeqs, maxBatched, limit];
    for (const model of known) {
      if (!present.has(model)) for (const gauge of gauges) gauge.remove({ model });
    }
    for (const model of present) ready.set({ model }, servable.has(model) ? 1 : 0);
    known = present;
  });
}
