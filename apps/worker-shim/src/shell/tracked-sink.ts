import type { Context, ResponseSink } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

/** What a {@link TrackedSink} is made of. */
export interface TrackedSinkOptions {
  readonly sink: ResponseSink;
  readonly context: Context;
  /** The sinks that are open; this one is among them until it ends. */
  readonly open: Set<TrackedSink>;
  /** Counts what engines write. */
  readonly progress: Progress;
  readonly logger: Logger;
}

/** Items written by all requests of a worker so far. */
export interface Progress {
  writes: number;
}

/** A request's sink that is known to be open until it ends, so that it can be failed when its engine dies. */
export class TrackedSink implements ResponseSink {
  readonly #options: TrackedSinkOptions;
  readonly #sink: ResponseSink;
  readonly #startedMs = performance.now();

  constructor(options: TrackedSinkOptions) {
    this.#options = options;
    this.#sink = options.sink;
    options.open.add(this);
  }

  write(item: Uint8Array): boolean {
    this.#options.progress.writes += 1;
    return this.#sink.write(item);
  }

  drained(): Promise<void> {
    return this.#sink.drained();
  }

  end(): void {
    if (!this.#options.open.delete(this)) return;
    this.#log(this.#options.context.isStopped() ? 'stopped' : 'done');
    this.#sink.end();
  }

  fail(error: unknown): void {
    if (!this.#options.open.delete(this)) return;
    this.#log('failed', error);
    this.#sink.fail(error);
  }

  #log(outcome: 'done' | 'stopped' | 'failed', error?: unknown): void {
    const { context, logger } = this.#options;
    if (!logger.isEnabled('info')) return;
    const { trace } = context;
    logger.info('request finished', {
      outcome,
      request_id: context.id,
      trace_id: trace?.traceId,
      span_id: trace?.spanId,
      duration_ms: Math.round(performance.now() - this.#startedMs),
      ...(error === undefined ? {} : { error }),
    });
  }
}
