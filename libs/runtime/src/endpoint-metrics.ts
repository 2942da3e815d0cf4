import { hasCode, instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type {
  BoundCounter,
  BoundGauge,
  BoundHistogram,
  MetricsRegistry,
} from '@dynamo-ts/telemetry';

import { RUNTIME_METRICS } from './metrics.ts';

/** Which endpoint an {@link EndpointMetrics} counts for. */
export interface EndpointMetricsScope {
  readonly path: EndpointPath;
  readonly instanceId: InstanceId;
  readonly model: string;
}

/** Handles of one served endpoint's metrics, bound once so that recording is an addition. */
export class EndpointMetrics {
  readonly responseBytes: BoundCounter;
  readonly #requests: BoundCounter;
  readonly #requestBytes: BoundCounter;
  readonly #duration: BoundHistogram;
  readonly #firstResponse: BoundHistogram;
  readonly #transit: BoundHistogram;
  readonly #inflight: BoundGauge;
  readonly #uptime: BoundGauge;
  readonly #cancellations: BoundCounter;
  readonly #unreadable: BoundCounter;
  readonly #failures: BoundCounter;
  readonly #unsent: BoundCounter;
  readonly #sinceMs = performance.now();

  constructor(registry: MetricsRegistry, { path, instanceId, model }: EndpointMetricsScope) {
    const labels = {
      dynamo_namespace: path.namespace,
      dynamo_component: path.component,
      dynamo_endpoint: path.endpoint,
      worker_id: instanceIdHex(instanceId),
      model,
    };
    this.#requests = registry.counter(RUNTIME_METRICS.requestsTotal).bind(labels);
    this.#duration = registry.histogram(RUNTIME_METRICS.requestDurationSeconds).bind(labels);
    this.#firstResponse = registry
      .histogram(RUNTIME_METRICS.timeToFirstResponseSeconds)
      .bind(labels);
    this.#transit = registry.histogram(RUNTIME_METRICS.networkTransitSeconds).bind(labels);
    this.#inflight = registry.gauge(RUNTIME_METRICS.inflightRequests).bind(labels);
    this.#requestBytes = registry.counter(RUNTIME_METRICS.requestBytesTotal).bind(labels);
    this.responseBytes = registry.counter(RUNTIME_METRICS.responseBytesTotal).bind(labels);
    this.#cancellations = registry.counter(RUNTIME_METRICS.cancellationTotal).bind(labels);
    this.#uptime = registry.gauge(RUNTIME_METRICS.uptimeSeconds).bind(labels);
    const errors = registry.counter(RUNTIME_METRICS.errorsTotal);
    this.#unreadable = errors.bind({ ...labels, error_type: 'deserialization' });
    this.#failures = errors.bind({ ...labels, error_type: 'generate' });
    this.#unsent = errors.bind({ ...labels, error_type: 'publish_response' });
  }

  /** A request arrived; `transitMs` is how long it was on its way, when its caller told. */
  started(payloadBytes: number, transitMs: number | undefined): void {
    if (transitMs !== undefined) this.#transit.observe(transitMs / 1000);
    this.#requests.inc();
    this.#requestBytes.inc(payloadBytes);
    this.#inflight.inc();
    this.#uptime.set((performance.now() - this.#sinceMs) / 1000);
  }

  /** The first item of an answer was written. */
  responded(seconds: number): void {
    this.#firstResponse.observe(seconds);
  }

  /** A request failed; {@link finished} follows. */
  failed(error: unknown): void {
    if (hasCode(error, 'request.invalid')) this.#unreadable.inc();
    else this.#failures.inc();
  }

  /** The caller's connection ended before the answer did; {@link finished} follows. */
  callerLost(): void {
    this.#unsent.inc();
  }

  /** A request ended. */
  finished(seconds: number, cancelled: boolean): void {
    this.#inflight.dec();
    this.#duration.observe(seconds);
    if (cancelled) this.#cancellations.inc();
  }
}
