/**
 * The index and the load of every rank as metrics, read from the core at each scrape. Series go with their rank. Those of
 * workers whose blocks have another size are another router's.
 */
import { asInstanceId, instanceIdHex } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import type { IndexHealth, IndexTotals, PlacementCore, PresentLoads } from '@dynamo-ts/kv';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { BoundCounter, BoundGauge, MetricsRegistry } from '@dynamo-ts/telemetry';

import { endpointLabels } from '../../endpoint-labels.ts';
import { KV_ROUTER_METRICS } from '../metrics.ts';
import { RankSeries } from './rank-series.ts';

/** What {@link IndexGauges} reads and writes. */
export interface IndexGaugesOptions {
  readonly core: PlacementCore;
  readonly registry: MetricsRegistry;
  readonly path: EndpointPath;
  /** Hex. */
  readonly routerId: string;
  readonly clock: Clock;
  /** Whether a worker's cache is counted in the blocks of this router. */
  readonly countsAlike: (workerId: InstanceId) => boolean;
}

/** What a request took that has ended. */
export interface EndedRequest {
  readonly islTokens: number;
  readonly ttftMs?: number | undefined;
  readonly itlMs?: number | undefined;
}

/** Publishes index and load. */
export class IndexGauges {
  readonly #options: IndexGaugesOptions;
  readonly #ranks = new Map<string, RankSeries>();
  readonly #events = new Map<string, number>();
  readonly #off: () => void;
  readonly #evictedTotal: BoundCounter;
  #evicted = 0;
  readonly #memory: BoundGauge;
  /** What it has of {@link #memory}. */
  #memoryBytes = 0;

  constructor(options: IndexGaugesOptions) {
    this.#options = options;
    const { registry } = options;
    this.#evictedTotal = registry
      .counter(KV_ROUTER_METRICS.indexEvictedTotal)
      .bind(this.#routerLabels());
    this.#memory = registry.gauge(KV_ROUTER_METRICS.indexMemoryBytes).bind(this.#routerLabels());
    this.#off = registry.onCollect(() => this.#collect());
  }

  /** A request has ended on a rank. Figures that are not known stay as they are. */
  ended(
    { workerId, dpRank }: { readonly workerId: bigint; readonly dpRank: number },
    request: EndedRequest,
  ): void {
    if (this.#isOwn(workerId)) this.#series(workerId, dpRank).ended(request);
  }

  /** Takes the series away. Idempotent. */
  close(): void {
    this.#off();
    this.#showMemory(0);
    for (const series of this.#ranks.values()) series.remove();
    this.#ranks.clear();
  }

  #collect(): void {
    const { core, clock } = this.#options;
    const health = core.health(clock.monotonicMs());
    this.#publishHealth(health);
    this.#publishLoads(core.loads());
    this.#publishTotals(health.totals);
    this.#showMemory(core.memoryBytes());
  }

  #publishHealth(health: IndexHealth): void {
    const present = new Set<RankSeries>();
    for (const [index, workerId] of health.workerIds.entries()) {
      if (!this.#isOwn(workerId)) continue;
      const series = this.#series(workerId, health.dpRanks[index] ?? 0);
      series.setHealth(health, index);
      present.add(series);
    }
    for (const [key, series] of this.#ranks) {
      if (present.has(series)) continue;
      series.remove();
      this.#ranks.delete(key);
    }
  }

  #publishLoads(loads: PresentLoads): void {
    for (const [index, workerId] of loads.workerIds.entries()) {
      if (!this.#isOwn(workerId)) continue;
      this.#series(workerId, loads.dpRanks[index] ?? 0).setLoad(
        loads.decodeBlocks[index] ?? 0,
        loads.prefillTokens[index] ?? 0,
      );
    }
  }

  /** The routers of one endpoint have the series together: each adds its part. */
  #showMemory(bytes: number): void {
    this.#memory.inc(bytes - this.#memoryBytes);
    this.#memoryBytes = bytes;
  }

  #publishTotals({ eventsByStatus, evicted, refusedByReason, stale }: IndexTotals): void {
    const { registry, path } = this.#options;
    const endpoint = endpointLabels(path);
    const applied = registry.counter(KV_ROUTER_METRICS.eventsApplied);
    for (const [key, count] of Object.entries(eventsByStatus)) {
      const [event_type = '', status = ''] = key.split(':');
      applied.inc({ ...endpoint, event_type, status }, this.#more(key, count));
    }
    const ignored = registry.counter(KV_ROUTER_METRICS.eventsIgnored);
    for (const [reason, count] of Object.entries({ ...refusedByReason, stale }))
      ignored.inc({ ...endpoint, reason }, this.#more(reason, count));
    this.#evictedTotal.inc(evicted - this.#evicted);
    this.#evicted = evicted;
  }

  /** How much a total has grown since it was looked at last. */
  #more(key: string, total: number): number {
    const before = this.#events.get(key) ?? 0;
    this.#events.set(key, total);
    return total - before;
  }

  #isOwn(workerId: bigint): boolean {
    return this.#options.countsAlike(asInstanceId(workerId));
  }

  #series(workerId: bigint, dpRank: number): RankSeries {
    const key = `${workerId}/${dpRank}`;
    const known = this.#ranks.get(key);
    if (known !== undefined) return known;
    const { registry, path } = this.#options;
    const series = new RankSeries(registry, path, { workerId: instanceIdHex(workerId), dpRank });
    this.#ranks.set(key, series);
    return series;
  }

  #routerLabels() {
    return { ...endpointLabels(this.#options.path), router_id: this.#options.routerId };
  }
}
