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
import type { ServeObserver } from './request-plane/request-plane.ts';

type ErrorType =
  | 'deserialization'
  | 'invalid_message'
  | 'generate'
  | 'response_stream'
  | 'publish_response'
  | 'publish_final';

/** Which endpoint an {@link EndpointMetrics} counts for. */
export interface EndpointMetricsScope {
  readonly path: EndpointPath;
  readonly instanceId: InstanceId;
  /** Empty when the endpoint serves none. */
  readonly model: string;
}

/** Handles of one served endpoint's metrics, bound once so that recording is an addition. */
export class EndpointMetrics implements ServeObserver {
  readonly responseBytes: BoundCounter;
  readonly #requests: BoundCounter;
  readonly #requestBytes: BoundCounter;
  readonly #duration: BoundHistogram;
  readonly #firstResponse: BoundHistogram;
  readonly #transit: BoundHistogram;
  readonly #inflight: BoundGauge;
  readonly #uptime: BoundGauge;
  readonly #cancellations: BoundCounter;
  readonly #errors: Readonly<Record<ErrorType, BoundCounter>>;
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
    const errorsOf = (type: ErrorType): BoundCounter =>
      errors.bind({ ...labels, error_type: type });
    this.#errors = {
      deserialization: errorsOf('deserialization'),
      invalid_message: errorsOf('invalid_message'),
      generate: errorsOf('generate'),
      response_stream: errorsOf('response_stream'),
      publish_response: errorsOf('publish_response'),
      publish_final: errorsOf('publish_final'),
    };
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
    const type = hasCode(error, 'request.invalid') ? 'deserialization' : 'generate';
    this.#errors[type].inc();
  }

  messageInvalid(): void {
    this.#errors.invalid_message.inc();
  }

  /** The caller's connection ended before the answer did, or even began; {@link finished} follows. */
  callerLost(responded: boolean): void {
    this.#errors[responded ? 'publish_response' : 'response_stream'].inc();
  }

  endUnsent(): void {
    this.#errors.publish_final.inc();
  }

  /** A request ended. */
  finished(seconds: number, cancelled: boolean): void {
    this.#inflight.dec();
    this.#duration.observe(seconds);
    if (cancelled) this.#cancellations.inc();
  }
}
