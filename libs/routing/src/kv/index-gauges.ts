/**
 * The index and the load of every rank as metrics, read from the core at each scrape. Series go with their rank.
 */
import { instanceIdHex } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { IndexHealth, IndexTotals, PlacementCore } from '@dynamo-ts/kv';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { BoundCounter, MetricsRegistry } from '@dynamo-ts/telemetry';

import { KV_INDEX_METRICS, KV_ROUTER_METRICS, ROUTED_WORKER_METRICS } from './metrics.ts';

/** What {@link IndexGauges} reads and writes. */
export interface IndexGaugesOptions {
  readonly core: PlacementCore;
  readonly registry: MetricsRegistry;
  readonly path: EndpointPath;
  /** Hex. */
  readonly routerId: string;
  readonly clock: Clock;
}

/** Counts that a counter has been given already. */
type Counted = Record<'gaps' | 'resyncs' | 'predicted' | 'reported', number>;

interface RankSeries {
  readonly workerId: string;
  readonly dpRank: number;
  readonly counted: Counted;
}

/** Publishes index and load. */
export class IndexGauges {
  readonly #options: IndexGaugesOptions;
  readonly #ranks = new Map<string, RankSeries>();
  readonly #events = new Map<string, number>();
  readonly #off: () => void;
  readonly #evictedTotal: BoundCounter;
  #evicted = 0;

  constructor(options: IndexGaugesOptions) {
    this.#options = options;
    const { registry } = options;
    this.#evictedTotal = registry
      .counter(KV_ROUTER_METRICS.indexEvictedTotal)
      .bind(this.#routerLabels());
    this.#off = registry.onCollect(() => this.#collect());
  }

  /** What the request that ended last on a rank took. Undefined figures stay as they are. */
  ended(
    rank: { readonly workerId: bigint; readonly dpRank: number },
    request: {
      readonly islTokens: number;
      readonly ttftMs?: number | undefined;
      readonly itlMs?: number | undefined;
    },
  ): void {
    const { registry } = this.#options;
    const labels = workerLabels(instanceIdHex(rank.workerId), rank.dpRank);
    const { islTokens, ttftMs, itlMs } = request;
    const gauges = ROUTED_WORKER_METRICS;
    registry.gauge(gauges.lastInputSequenceTokens).set(labels, islTokens);
    if (ttftMs !== undefined)
      registry.gauge(gauges.lastTimeToFirstTokenSeconds).set(labels, ttftMs / 1000);
    if (itlMs !== undefined)
      registry.gauge(gauges.lastInterTokenLatencySeconds).set(labels, itlMs / 1000);
  }

  /** Takes the series away. Idempotent. */
  close(): void {
    this.#off();
    for (const [key, series] of this.#ranks) this.#remove(key, series);
  }

  #collect(): void {
    const { core, clock, registry } = this.#options;
    const health = core.health(clock.monotonicMs());
    const gone = new Set(this.#ranks.keys());
    for (const index of health.workerIds.keys()) gone.delete(this.#publishRank(health, index));
    for (const key of gone) {
      const series = this.#ranks.get(key);
      if (series !== undefined) this.#remove(key, series);
    }
    this.#publishLoads();
    this.#publishTotals(health.totals);
    registry
      .gauge(KV_ROUTER_METRICS.indexMemoryBytes)
      .set(this.#routerLabels(), core.memoryBytes());
  }

  #publishRank(health: IndexHealth, index: number): string {
    const { registry } = this.#options;
    const workerId = instanceIdHex(health.workerIds[index] ?? 0n);
    const dpRank = health.dpRanks[index] ?? 0;
    const series = this.#series(workerId, dpRank);
    const labels = this.#rankLabels(series);
    const metrics = KV_INDEX_METRICS;
    registry.gauge(metrics.blocks).set(labels, health.blocks[index] ?? 0);
    registry.gauge(metrics.bytes).set(labels, health.bytes[index] ?? 0);
    registry.gauge(metrics.stalenessSeconds).set(labels, (health.stalenessMs[index] ?? 0) / 1000);
    registry.gauge(metrics.demoted).set(labels, health.states[index] === 'demoted' ? 1 : 0);
    const counts: Counted = {
      gaps: health.gaps[index] ?? 0,
      resyncs: health.resyncs[index] ?? 0,
      predicted: health.predictedCachedTokens[index] ?? 0,
      reported: health.reportedCachedTokens[index] ?? 0,
    };
    for (const [name, spec] of COUNTERS) {
      const more = counts[name] - series.counted[name];
      registry.counter(spec).inc(labels, Math.max(more, 0));
      series.counted[name] = counts[name];
    }
    return keyOf(series);
  }

  #publishLoads(): void {
    const { core, registry } = this.#options;
    const loads = core.loads();
    for (const [index, id] of loads.workerIds.entries()) {
      const labels = workerLabels(instanceIdHex(id), loads.dpRanks[index] ?? 0);
      registry
        .gauge(ROUTED_WORKER_METRICS.activeDecodeBlocks)
        .set(labels, loads.decodeBlocks[index] ?? 0);
      registry
        .gauge(ROUTED_WORKER_METRICS.activePrefillTokens)
        .set(labels, loads.prefillTokens[index] ?? 0);
    }
  }

  #publishTotals({ eventsByStatus, evicted }: IndexTotals): void {
    const { registry } = this.#options;
    for (const [key, count] of Object.entries(eventsByStatus)) {
      const [event_type = '', status = ''] = key.split(':');
      const labels = { ...this.#endpointLabels(), event_type, status };
      const more = count - (this.#events.get(key) ?? 0);
      registry.counter(KV_ROUTER_METRICS.eventsApplied).inc(labels, more);
      this.#events.set(key, count);
    }
    this.#evictedTotal.inc(evicted - this.#evicted);
    this.#evicted = evicted;
  }

  #series(workerId: string, dpRank: number): RankSeries {
    const key = keyOf({ workerId, dpRank });
    const known = this.#ranks.get(key);
    if (known !== undefined) return known;
    const counted = { gaps: 0, resyncs: 0, predicted: 0, reported: 0 };
    const series: RankSeries = { workerId, dpRank, counted };
    this.#ranks.set(key, series);
    return series;
  }

  #remove(key: string, series: RankSeries): void {
    const { registry } = this.#options;
    this.#ranks.delete(key);
    const labels = this.#rankLabels(series);
    for (const spec of GAUGES) registry.gauge(spec).remove(labels);
    for (const [, spec] of COUNTERS) registry.counter(spec).remove(labels);
    const worker = workerLabels(series.workerId, series.dpRank);
    for (const spec of Object.values(ROUTED_WORKER_METRICS)) registry.gauge(spec).remove(worker);
  }

  #rankLabels({ workerId, dpRank }: RankSeries) {
    return { ...this.#endpointLabels(), worker_id: workerId, dp_rank: dpRank };
  }

  #routerLabels() {
    return { ...this.#endpointLabels(), router_id: this.#options.routerId };
  }

  #endpointLabels() {
    const { namespace, component, endpoint } = this.#options.path;
    return {
      dynamo_namespace: namespace,
      dynamo_component: component,
      dynamo_endpoint: endpoint,
    };
  }
}

const GAUGES = [
  KV_INDEX_METRICS.blocks,
  KV_INDEX_METRICS.bytes,
  KV_INDEX_METRICS.stalenessSeconds,
  KV_INDEX_METRICS.demoted,
] as const;

const COUNTERS = [
  ['gaps', KV_INDEX_METRICS.gapsTotal],
  ['resyncs', KV_INDEX_METRICS.resyncsTotal],
  ['predicted', KV_INDEX_METRICS.predictedTokensTotal],
  ['reported', KV_INDEX_METRICS.reportedTokensTotal],
] as const;

/** Workers that prefill and decode report as decode workers (RP 5.5). */
function workerLabels(workerId: string, dpRank: number) {
  return { worker_id: workerId, dp_rank: dpRank, worker_type: 'decode' };
}

function keyOf({ workerId, dpRank }: Pick<RankSeries, 'workerId' | 'dpRank'>): string {
  return `${workerId}/${dpRank}`;
}
