import type { IndexHealth } from '@dynamo-ts/kv';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { Labels, MetricsRegistry } from '@dynamo-ts/telemetry';

import { endpointLabels } from '../../endpoint-labels.ts';
import { KV_INDEX_METRICS, ROUTED_WORKER_METRICS } from '../metrics.ts';

type RankLabels = Labels<
  'dynamo_namespace' | 'dynamo_component' | 'dynamo_endpoint' | 'worker_id' | 'dp_rank'
>;
type WorkerLabels = Labels<'worker_id' | 'dp_rank' | 'worker_type'>;

const GAUGES = ['blocks', 'bytes', 'stalenessSeconds', 'demoted'] as const;
const COUNTERS = [
  'gapsTotal',
  'resyncsTotal',
  'predictedTokensTotal',
  'reportedTokensTotal',
] as const;

/**
 * All series of one rank. Labels are looked up for every value: another router of the endpoint may have taken the series
 * away that it thought was its own before the worker said in what blocks it counts.
 */
export class RankSeries {
  readonly #registry: MetricsRegistry;
  readonly #labels: RankLabels;
  readonly #workerLabels: WorkerLabels;
  /** Totals that the counters have been told. */
  readonly #counted: Record<(typeof COUNTERS)[number], number> = {
    gapsTotal: 0,
    resyncsTotal: 0,
    predictedTokensTotal: 0,
    reportedTokensTotal: 0,
  };

  constructor(
    registry: MetricsRegistry,
    path: EndpointPath,
    rank: { readonly workerId: string; readonly dpRank: number },
  ) {
    const { workerId: worker_id, dpRank: dp_rank } = rank;
    this.#registry = registry;
    this.#labels = { ...endpointLabels(path), worker_id, dp_rank };
    // Workers that prefill and decode report as decode workers (RP 5.5).
    this.#workerLabels = { worker_id, dp_rank, worker_type: 'decode' };
  }

  /** Takes the rank's entry of the index's health. */
  setHealth(health: IndexHealth, index: number): void {
    this.#set('blocks', health.blocks[index] ?? 0);
    this.#set('bytes', health.bytes[index] ?? 0);
    this.#set('stalenessSeconds', (health.stalenessMs[index] ?? 0) / 1000);
    this.#set('demoted', health.states[index] === 'demoted' ? 1 : 0);
    this.#count('gapsTotal', health.gaps[index]);
    this.#count('resyncsTotal', health.resyncs[index]);
    this.#count('predictedTokensTotal', health.predictedCachedTokens[index]);
    this.#count('reportedTokensTotal', health.reportedCachedTokens[index]);
  }

  /** Takes the rank's load. */
  setLoad(decodeBlocks: number, prefillTokens: number): void {
    const { activeDecodeBlocks, activePrefillTokens } = ROUTED_WORKER_METRICS;
    this.#registry.gauge(activeDecodeBlocks).set(this.#workerLabels, decodeBlocks);
    this.#registry.gauge(activePrefillTokens).set(this.#workerLabels, prefillTokens);
  }

  /** Takes what a request took that has ended on the rank; undefined figures stay as they are. */
  ended(request: {
    readonly islTokens: number;
    readonly ttftMs?: number | undefined;
    readonly itlMs?: number | undefined;
  }): void {
    const { islTokens, ttftMs, itlMs } = request;
    const metrics = ROUTED_WORKER_METRICS;
    const set = (metric: (typeof metrics)[keyof typeof metrics], value: number): void =>
      this.#registry.gauge(metric).set(this.#workerLabels, value);
    set(metrics.lastInputSequenceTokens, islTokens);
    if (ttftMs !== undefined) set(metrics.lastTimeToFirstTokenSeconds, ttftMs / 1000);
    if (itlMs !== undefined) set(metrics.lastInterTokenLatencySeconds, itlMs / 1000);
  }

  /** Takes the series away. */
  remove(): void {
    for (const name of GAUGES) this.#registry.gauge(KV_INDEX_METRICS[name]).remove(this.#labels);
    for (const name of COUNTERS)
      this.#registry.counter(KV_INDEX_METRICS[name]).remove(this.#labels);
    for (const metric of Object.values(ROUTED_WORKER_METRICS))
      this.#registry.gauge(metric).remove(this.#workerLabels);
  }

  #set(name: (typeof GAUGES)[number], value: number): void {
    this.#registry.gauge(KV_INDEX_METRICS[name]).set(this.#labels, value);
  }

  #count(name: (typeof COUNTERS)[number], total = 0): void {
    const more = Math.max(total - this.#counted[name], 0);
    this.#registry.counter(KV_INDEX_METRICS[name]).inc(this.#labels, more);
    this.#counted[name] = total;
  }
}
