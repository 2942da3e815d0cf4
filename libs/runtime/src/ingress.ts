/** What surrounds every handler: metrics of RF 5.3 and the span `handle_payload`, whose parent came with the request. */
import { instanceIdHex, onAbort } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import { extractTraceContext, injectTraceContext } from '@dynamo-ts/telemetry';
import type { Span, Tracer } from '@dynamo-ts/telemetry';

import type { Context } from './context.ts';
import type { EndpointMetrics } from './endpoint-metrics.ts';
import type { IncomingRequest, RawHandler, ResponseSink } from './request-plane/request-plane.ts';
import { transitMs } from './sent-time.ts';

/** What an {@link ingressHandler} reports to, and for which endpoint. */
export interface IngressOptions {
  readonly path: EndpointPath;
  readonly instanceId: InstanceId;
  readonly metrics?: EndpointMetrics | undefined;
  readonly tracer?: Tracer | undefined;
}

/** Wraps a handler with metrics and tracing; returns it as it is when there is neither. */
export function ingressHandler(handler: RawHandler, options: IngressOptions): RawHandler {
  const { metrics, tracer } = options;
  if (tracer === undefined && metrics === undefined) return handler;
  const attributes = {
    namespace: options.path.namespace,
    component: options.path.component,
    endpoint: formatEndpointPath(options.path),
    instance_id: instanceIdHex(options.instanceId),
  };
  return (request, sink) => {
    const parent = extractTraceContext(request.context.headers);
    const span = tracer?.startSpan('handle_payload', { parent, kind: 'server', attributes });
    if (span !== undefined) request.context.addHeaders(injectTraceContext(span.context));
    return runObserved(handler, request, new ObservedSink({ request, sink, metrics, span }));
  };
}

function runObserved(
  handler: RawHandler,
  request: IncomingRequest,
  sink: ObservedSink,
): void | Promise<void> {
  try {
    return handler(request, sink)?.catch((error: unknown) => {
      sink.fail(error);
    });
  } catch (error) {
    sink.fail(error);
  }
}

interface ObservedSinkOptions {
  readonly request: IncomingRequest;
  readonly sink: ResponseSink;
  readonly metrics: EndpointMetrics | undefined;
  readonly span: Span | undefined;
}

/** Passes everything on and sees how the request ends: by end, failure or kill. */
class ObservedSink implements ResponseSink {
  readonly #context: Context;
  readonly #sink: ResponseSink;
  readonly #metrics: EndpointMetrics | undefined;
  readonly #span: Span | undefined;
  readonly #startMs = performance.now();
  #offKill: () => void = () => undefined;
  #responded = false;
  #done = false;

  constructor({ request, sink, metrics, span }: ObservedSinkOptions) {
    this.#context = request.context;
    this.#sink = sink;
    this.#metrics = metrics;
    this.#span = span;
    metrics?.started(request.payload.byteLength, transitMs(request.context.headers));
    this.#offKill = onAbort(request.context.killed, () => {
      if (!this.#done && request.caller?.aborted === true) metrics?.callerLost(this.#responded);
      this.#finish();
    });
  }

  write(item: Uint8Array): boolean {
    if (!this.#responded) {
      this.#responded = true;
      this.#metrics?.responded(this.#elapsedSeconds());
    }
    this.#metrics?.responseBytes.inc(item.byteLength);
    return this.#sink.write(item);
  }

  drained(): Promise<void> {
    return this.#sink.drained();
  }

  end(): void {
    this.#finish();
    this.#sink.end();
  }

  fail(error: unknown): void {
    if (!this.#done) {
      this.#metrics?.failed(error);
      this.#span?.recordError(error);
    }
    this.#finish();
    this.#sink.fail(error);
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#offKill();
    this.#span?.end();
    this.#metrics?.finished(this.#elapsedSeconds(), this.#context.isStopped());
  }

  #elapsedSeconds(): number {
    return (performance.now() - this.#startMs) / 1000;
  }
}
