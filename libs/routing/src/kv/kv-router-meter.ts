import { instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { BoundCounter, BoundHistogram, MetricsRegistry } from '@dynamo-ts/telemetry';

import { endpointLabels } from '../endpoint-labels.ts';
import { RouterMeter } from '../router-meter.ts';
import { KV_ROUTER_METRICS } from './metrics.ts';

/** Handles of one `KvRouter`'s request metrics, bound once. */
export class KvRouterMeter extends RouterMeter {
  readonly #hitRate: BoundHistogram;
  readonly #scheduling: BoundHistogram;
  readonly #total: BoundHistogram;
  readonly #dropped: BoundCounter;

  constructor(registry: MetricsRegistry, path: EndpointPath, routerId: InstanceId) {
    super(registry, path, routerId);
    const router_id = instanceIdHex(routerId);
    const labels = { ...endpointLabels(path), router_id };
    const metrics = KV_ROUTER_METRICS;
    this.#hitRate = registry.histogram(metrics.hitRate).bind(labels);
    this.#scheduling = registry.histogram(metrics.schedulingMs).bind({ router_id });
    this.#total = registry.histogram(metrics.totalMs).bind({ router_id });
    this.#dropped = registry.counter(metrics.decisionsDroppedTotal).bind(labels);
  }

  /** A choice was made. */
  chosen(hitRatio: number, schedulingMs: number): void {
    this.#hitRate.observe(hitRatio);
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
