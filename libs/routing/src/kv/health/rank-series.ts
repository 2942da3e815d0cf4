import type { IndexHealth } from '@dynamo-ts/kv';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { BoundCounter, BoundGauge, Labels, MetricsRegistry } from '@dynamo-ts/telemetry';

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

type LoadName = 'activeDecodeBlocks' | 'activePrefillTokens';

/** A counter that is told totals. */
interface TotalCounter {
  readonly counter: BoundCounter;
  counted: number;
}

/** All series of one rank, bound once. */
export class RankSeries {
  readonly #registry: MetricsRegistry;
  readonly #labels: RankLabels;
  readonly #workerLabels: WorkerLabels;
  readonly #gauges: Readonly<Record<(typeof GAUGES)[number], BoundGauge>>;
  readonly #counters: Readonly<Record<(typeof COUNTERS)[number], TotalCounter>>;
  readonly #loads: Readonly<Record<LoadName, BoundGauge>>;

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
    const index = KV_INDEX_METRICS;
    const gauge = (name: (typeof GAUGES)[number]): BoundGauge =>
      registry.gauge(index[name]).bind(this.#labels);
    const counter = (name: (typeof COUNTERS)[number]): TotalCounter => ({
      counter: registry.counter(index[name]).bind(this.#labels),
      counted: 0,
    });
    const load = (name: LoadName): BoundGauge =>
      registry.gauge(ROUTED_WORKER_METRICS[name]).bind(this.#workerLabels);
    this.#gauges = {
      blocks: gauge('blocks'),
      bytes: gauge('bytes'),
      stalenessSeconds: gauge('stalenessSeconds'),
      demoted: gauge('demoted'),
    };
    this.#counters = {
      gapsTotal: counter('gapsTotal'),
      resyncsTotal: counter('resyncsTotal'),
      predictedTokensTotal: counter('predictedTokensTotal'),
      reportedTokensTotal: counter('reportedTokensTotal'),
    };
    this.#loads = {
      activeDecodeBlocks: load('activeDecodeBlocks'),
      activePrefillTokens: load('activePrefillTokens'),
    };
  }

  /** Takes the rank's entry of the index's health. */
  setHealth(health: IndexHealth, index: number): void {
    this.#gauges.blocks.set(health.blocks[index] ?? 0);
    this.#gauges.bytes.set(health.bytes[index] ?? 0);
    this.#gauges.stalenessSeconds.set((health.stalenessMs[index] ?? 0) / 1000);
    this.#gauges.demoted.set(health.states[index] === 'demoted' ? 1 : 0);
    count(this.#counters.gapsTotal, health.gaps[index]);
    count(this.#counters.resyncsTotal, health.resyncs[index]);
    count(this.#counters.predictedTokensTotal, health.predictedCachedTokens[index]);
    count(this.#counters.reportedTokensTotal, health.reportedCachedTokens[index]);
  }

  /** Takes the rank's load. */
  setLoad(decodeBlocks: number, prefillTokens: number): void {
    this.#loads.activeDecodeBlocks.set(decodeBlocks);
    this.#loads.activePrefillTokens.set(prefillTokens);
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
}

function count(total: TotalCounter, now = 0): void {
  total.counter.inc(Math.max(now - total.counted, 0));
  total.counted = now;
}
