import { instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { Selected } from '@dynamo-ts/kv';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { BoundCounter, BoundHistogram, MetricsRegistry } from '@dynamo-ts/telemetry';

import { endpointLabels } from '../endpoint-labels.ts';
import type { PlacementRequest } from '../placement-router.ts';
import { RouterMeter } from '../router-meter.ts';
import { KV_ROUTER_METRICS } from './metrics.ts';

const NS_PER_MS = 1e6;

/** Handles of one `KvRouter`'s request metrics, bound once. */
export class KvRouterMeter extends RouterMeter {
  readonly #hitRate: BoundHistogram;
  readonly #blockHashing: BoundHistogram;
  readonly #sequenceHashing: BoundHistogram;
  readonly #matching: BoundHistogram;
  readonly #scheduling: BoundHistogram;
  readonly #total: BoundHistogram;
  readonly #dropped: BoundCounter;

  constructor(registry: MetricsRegistry, path: EndpointPath, routerId: InstanceId) {
    super(registry, path, routerId);
    const router_id = instanceIdHex(routerId);
    const labels = { ...endpointLabels(path), router_id };
    const metrics = KV_ROUTER_METRICS;
    this.#hitRate = registry.histogram(metrics.hitRate).bind(labels);
    this.#blockHashing = registry.histogram(metrics.blockHashingMs).bind({ router_id });
    this.#sequenceHashing = registry.histogram(metrics.sequenceHashingMs).bind({ router_id });
    this.#matching = registry.histogram(metrics.matchingMs).bind({ router_id });
    this.#scheduling = registry.histogram(metrics.schedulingMs).bind({ router_id });
    this.#total = registry.histogram(metrics.totalMs).bind({ router_id });
    this.#dropped = registry.counter(metrics.decisionsDroppedTotal).bind(labels);
  }

  /** A choice was made. */
  chosen(
    { hashingMs, promptTokens }: PlacementRequest,
    selected: Selected,
    schedulingMs: number,
  ): void {
    const { sequenceHashingNs, matchingNs } = selected;
    this.#hitRate.observe(promptTokens > 0 ? selected.cachedTokens / promptTokens : 0);
    if (hashingMs !== undefined) this.#blockHashing.observe(hashingMs);
    this.#sequenceHashing.observe(sequenceHashingNs / NS_PER_MS);
    if (matchingNs !== undefined) this.#matching.observe(matchingNs / NS_PER_MS);
    this.#scheduling.observe(schedulingMs);
  }

  /** The router has answered. */
  routed(totalMs: number): void {
    this.#total.observe(totalMs);
  }

  /** Decisions left the ring unread. */
  decisionsDropped(count: number): void {
    this.#dropped.inc(count);
  }
}
