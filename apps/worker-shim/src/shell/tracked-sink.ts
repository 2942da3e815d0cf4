import { onAbort } from '@dynamo-ts/base';
import type { DynamoError } from '@dynamo-ts/base';
import type { Context, ResponseSink } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import type { EngineSink } from '../engines/engine.ts';
import type { CancelledPhase } from './cancellation-meter.ts';
import type { OwedRequest } from './health/stuck-requests.ts';

/** Who knows all sinks of a worker. */
export interface SinkOwner {
  /** What the engine does with the request of an open sink. */
  phaseOf(sink: TrackedSink): CancelledPhase;
  /** The engine has left a request that was given up, or has not said so in time. */
  left(phase: CancelledPhase, context: Context, confirmed: boolean): void;
  /** A request has ended. */
  ended(sink: TrackedSink): void;
}

/** What a {@link TrackedSink} is made of. */
export interface TrackedSinkOptions {
  readonly sink: ResponseSink;
  readonly context: Context;
  readonly owner: SinkOwner;
  /** Counts what engines write. */
  readonly progress: Progress;
  readonly logger: Logger;
}

/** Items written by all requests of a worker so far. */
export interface Progress {
  writes: number;
}

/**
 * A request's sink that is known to be open until it ends, so that it can be failed when its engine dies, and that
 * measures how long the engine takes to leave it when it is given up.
 */
export class TrackedSink implements EngineSink, OwedRequest {
  readonly #options: TrackedSinkOptions;
  readonly #sink: ResponseSink;
  readonly #startedMs = performance.now();
  readonly #offStop: () => void;
  #open = true;
  #writes = 0;
  #held = false;
  /** Set when the request was given up and its engine has not said yet that it has left it. */
  #leaving: CancelledPhase | undefined;

  constructor(options: TrackedSinkOptions) {
    this.#options = options;
    this.#sink = options.sink;
    // Before the engine listens too: by then it has left the phase.
    this.#offStop = onAbort(options.context.stopped, () => {
      this.#leaving = options.owner.phaseOf(this);
    });
  }

  /** Whether the engine has written anything. */
  get begun(): boolean {
    return this.#writes > 0;
  }

  /** Items that the engine has written. */
  get writes(): number {
    return this.#writes;
  }

  /** Whether the caller reads too slowly for the engine to go on. */
  get held(): boolean {
    return this.#held;
  }

  write(item: Uint8Array): boolean {
    this.#options.progress.writes += 1;
    this.#writes += 1;
    const flows = this.#sink.write(item);
    if (!flows) this.#held = true;
    return flows;
  }

  async drained(): Promise<void> {
    await this.#sink.drained();
    this.#held = false;
  }

  end(): void {
    if (!this.#close()) return;
    this.#log(this.#options.context.isStopped() ? 'stopped' : 'done');
    this.#sink.end();
  }

  fail(error: unknown): void {
    if (!this.#close()) return;
    this.#log('failed', error);
    this.#sink.fail(error);
  }

  giveUp(error: DynamoError): void {
    this.fail(error);
    this.#options.context.kill('superseded');
  }

  released(confirmed = true): void {
    if (this.#leaving === undefined) return;
    const phase = this.#leaving;
    this.#leaving = undefined;
    this.#options.owner.left(phase, this.#options.context, confirmed);
  }

  #close(): boolean {
    if (!this.#open) return false;
    this.#open = false;
    this.#offStop();
    this.#options.owner.ended(this);
    return true;
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
