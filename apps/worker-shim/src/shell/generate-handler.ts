/**
 * The worker's `generate` endpoint: hands requests to the engine, no more than it may run at once, and knows which are
 * open. What comes beyond the engine's limit waits here; what comes beyond that is refused before it is accepted, so that
 * its caller tries another worker (RF 2.3).
 */
import { DynamoError, onAbort } from '@dynamo-ts/base';
import { GenerateRequest } from '@dynamo-ts/protocol';
import type { Context, IncomingRequest, RawHandler, ResponseSink } from '@dynamo-ts/runtime';
import type { BoundCounter, Logger } from '@dynamo-ts/telemetry';

import type { Engine } from '../engines/engine.ts';
import { CANCELLED_RESPONSE } from '../engines/response-encoding.ts';
import type { CancellationMeter, CancelledPhase } from './cancellation-meter.ts';
import type { OwedRequest } from './health/stuck-requests.ts';
import { TrackedSink } from './tracked-sink.ts';
import type { Progress } from './tracked-sink.ts';

/** Settings of a {@link GenerateHandler}. */
export interface GenerateHandlerOptions {
  readonly engine: Engine;
  readonly logger: Logger;
  /** Most requests that the engine is given at once, and most that wait for it; undefined: no limit. */
  readonly limits?: { readonly running: number; readonly waiting: number } | undefined;
  readonly cancellations?: CancellationMeter | undefined;
  readonly refused?: BoundCounter | undefined;
}

/** A request that the engine may not have yet. */
interface Waiting {
  readonly request: GenerateRequest;
  readonly context: Context;
  readonly offStop: () => void;
}

/** Requests of one worker. */
export class GenerateHandler {
  readonly #options: GenerateHandlerOptions;
  /** In order of arrival. */
  readonly #open = new Set<TrackedSink>();
  readonly #waiting = new Map<TrackedSink, Waiting>();
  readonly #progress: Progress = { writes: 0 };
  #accepting = false;
  /** The engine takes nothing any more. */
  #isGone = true;
  #onIdle: (() => void)[] = [];

  constructor(options: GenerateHandlerOptions) {
    this.#options = options;
  }

  /** Requests that have not ended. */
  get openCount(): number {
    return this.#open.size;
  }

  /** Items that the engine has written since the start. */
  get writes(): number {
    return this.#progress.writes;
  }

  /** Requests that the engine has and whose callers keep up. */
  owed(): readonly OwedRequest[] {
    return [...this.#open].filter((sink) => !sink.held && !this.#waiting.has(sink));
  }

  /** Serves one request; to be given to the request plane. */
  readonly handle: RawHandler = (incoming: IncomingRequest, sink: ResponseSink) => {
    if (!this.#accepting) {
      throw new DynamoError('backend.engine_shutdown', 'the engine of this worker is not running');
    }
    this.#refuseBeyondLimit();
    const { context, payload } = incoming;
    const request = decode(payload);
    const { logger } = this.#options;
    const progress = this.#progress;
    const tracked = new TrackedSink({ sink, context, owner: this, progress, logger });
    const isFull = this.#isFull();
    this.#open.add(tracked);
    if (isFull) this.#wait(tracked, request, context);
    else this.#start(tracked, request, context);
  };

  /** The engine answers: requests are taken from now on. */
  resume(): void {
    this.#accepting = true;
    this.#isGone = false;
  }

  /** Refuses new requests; those that run go on. */
  refuse(): void {
    this.#accepting = false;
  }

  /** Resolves when no request runs. */
  async idle(): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  /** The engine is gone: fails all open requests so that they can move, and refuses new ones. Idempotent. */
  abort(message: string): void {
    this.#accepting = false;
    this.#isGone = true;
    for (const sink of [...this.#open]) {
      sink.fail(new DynamoError('backend.engine_shutdown', message));
    }
  }

  /** What the engine does with a request: it has the youngest of those without a token in its queue. */
  phaseOf(sink: TrackedSink): CancelledPhase {
    if (sink.begun) return 'decode';
    if (this.#waiting.has(sink)) return 'queued';
    // An engine that runs nothing has begun with the first of those that wait; its load says so only after that step.
    const queued = this.#options.engine
      .load()
      .reduce(
        (sum, { activeRequests, waitingRequests }) =>
          sum + Math.max(0, waitingRequests - (activeRequests === 0 ? 1 : 0)),
        0,
      );
    if (queued === 0) return 'prefill';
    const fresh = [...this.#open].filter((each) => !each.begun && !this.#waiting.has(each));
    return fresh.indexOf(sink) >= fresh.length - queued ? 'queued' : 'prefill';
  }

  /** A request was given up and the engine has left it. */
  left(phase: CancelledPhase, { stoppedUnixMs }: Context, confirmed: boolean): void {
    const { cancellations } = this.#options;
    if (!confirmed) cancellations?.unconfirmed(phase);
    else if (stoppedUnixMs !== undefined) cancellations?.confirmed(phase, stoppedUnixMs);
  }

  /** A request has ended; the next one may begin. */
  ended(sink: TrackedSink): void {
    this.#open.delete(sink);
    this.#waiting.get(sink)?.offStop();
    this.#waiting.delete(sink);
    if (this.#open.size === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
    if (this.#isGone || this.#waiting.size === 0 || this.#isFull()) return;
    const [next] = this.#waiting;
    if (next === undefined) return;
    const [first, { context, offStop, request }] = next;
    this.#waiting.delete(first);
    offStop();
    this.#start(first, request, context);
  }

  #isFull(): boolean {
    const { limits } = this.#options;
    return limits !== undefined && this.#open.size - this.#waiting.size >= limits.running;
  }

  #refuseBeyondLimit(): void {
    const { limits, refused } = this.#options;
    if (limits === undefined || this.#open.size < limits.running + limits.waiting) return;
    refused?.inc();
    throw new DynamoError(
      'capacity.worker_overloaded',
      `the worker is at capacity: it has ${this.#open.size} requests`,
    );
  }

  #wait(sink: TrackedSink, request: GenerateRequest, context: Context): void {
    // Listens after the sink, which has seen by then that the request was waiting.
    const offStop = onAbort(context.stopped, () => {
      sink.write(CANCELLED_RESPONSE);
      sink.end();
      sink.released();
    });
    this.#waiting.set(sink, { request, context, offStop });
  }

  #start(sink: TrackedSink, request: GenerateRequest, context: Context): void {
    try {
      this.#options.engine.generate(request, sink, context);
    } catch (error) {
      sink.fail(error);
    }
  }
}

function decode(payload: Uint8Array): GenerateRequest {
  try {
    return GenerateRequest.decode(payload);
  } catch (error) {
    throw new DynamoError('request.invalid', 'the payload is not a GenerateRequest', {
      cause: error,
    });
  }
}
