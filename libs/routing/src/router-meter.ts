import { instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type {
  BoundCounter,
  BoundGauge,
  BoundHistogram,
  MetricsRegistry,
} from '@dynamo-ts/telemetry';

import { endpointLabels } from './endpoint-labels.ts';
import { ROUTER_METRICS } from './metrics.ts';
import type { RequestOutcome } from './placement-router.ts';

/** Handles of one router's metrics, bound once. */
export class RouterMeter {
  readonly #started: BoundCounter;
  readonly #ended: BoundCounter;
  readonly #expired: BoundCounter;
  readonly #active: BoundGauge;
  readonly #firstToken: BoundHistogram;
  readonly #inputTokens: BoundHistogram;
  readonly #interToken: BoundHistogram;
  readonly #outputTokens: BoundHistogram;

  constructor(registry: MetricsRegistry, path: EndpointPath, routerId: InstanceId) {
    const labels = { ...endpointLabels(path), router_id: instanceIdHex(routerId) };
    this.#started = registry.counter(ROUTER_METRICS.requestsStartedTotal).bind(labels);
    this.#ended = registry.counter(ROUTER_METRICS.requestsTotal).bind(labels);
    this.#expired = registry.counter(ROUTER_METRICS.expiredTotal).bind(labels);
    this.#active = registry.gauge(ROUTER_METRICS.activeRequests).bind(labels);
    this.#firstToken = registry.histogram(ROUTER_METRICS.timeToFirstTokenSeconds).bind(labels);
    this.#inputTokens = registry.histogram(ROUTER_METRICS.inputSequenceTokens).bind(labels);
    this.#interToken = registry.histogram(ROUTER_METRICS.interTokenLatencySeconds).bind(labels);
    this.#outputTokens = registry.histogram(ROUTER_METRICS.outputSequenceTokens).bind(labels);
  }

  /** A request was given an instance. */
  started(promptTokens: number): void {
    this.#started.inc();
    this.#active.inc();
    this.#inputTokens.observe(promptTokens);
  }

  /** A booked request's first token came. */
  prefillDone(ageMs: number): void {
    this.#firstToken.observe(ageMs / 1000);
  }

  /** A request has ended. */
  ended({ outputTokens, itlMs }: RequestOutcome): void {
    if (outputTokens !== undefined) this.#outputTokens.observe(outputTokens);
    if (itlMs !== undefined) this.#interToken.observe(itlMs / 1000);
  }

  /** A booking was given back. */
  released(how: 'freed' | 'expired'): void {
    this.#ended.inc();
    this.#active.dec();
    if (how === 'expired') this.#expired.inc();
  }
}
