/**
 * Sends a tokenised request to a worker and gives back the worker's answer, once it has begun.
 *
 * Route → open → wait for the first batch. A worker that refuses, cannot be reached or breaks before its first token
 * costs the client nothing: it is excluded, the request is routed again, until no worker is left, whatever the
 * migration limit (RF 1.9, 1.10). The booking is given back exactly once: at the end, an error, `cancel`, or a kill of
 * the context, in every phase. A break after the first token is the caller's to migrate.
 */
import { randomUUID } from 'node:crypto';

import {
  DynamoError,
  hasCode,
  instanceIdHex,
  raceAbort,
  systemClock,
  toDynamoError,
} from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { Context, RawResponse } from '@dynamo-ts/runtime';
import { injectTraceContext } from '@dynamo-ts/telemetry';
import type {
  Counter,
  Logger,
  MetricsRegistry,
  Span,
  TraceContext,
  Tracer,
} from '@dynamo-ts/telemetry';

import { AnswerMeter } from './answer-meter.ts';
import { BookedStream } from './booked-stream.ts';
import type { DispatchedStream } from './booked-stream.ts';
import { withDpRank } from './dp-rank.ts';
import { DISPATCH_METRICS } from './metrics.ts';
import type {
  Placement,
  PlacementRouter,
  PlacementWishes,
  RequestOutcome,
} from './placement-router.ts';
import type { RouterMode } from './router-mode.ts';

/** The workers of one endpoint; a runtime `Client` is one. */
export interface WorkerPool {
  readonly path: EndpointPath;
  /** Opens a request, counts it in flight and reports faults. */
  openRaw(instanceId: InstanceId, payload: Uint8Array, context: Context): Promise<RawResponse>;
  /** Takes an instance out of selection until it can be reached again. */
  reportDown(instanceId: InstanceId): void;
}

/** Settings of a {@link Dispatcher}. */
export interface DispatcherOptions {
  readonly workers: WorkerPool;
  readonly router: PlacementRouter;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  readonly tracer?: Tracer | undefined;
  /** Longest silence of a worker in milliseconds (`DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS`); 0 = off. @default 0 */
  readonly streamTimeoutMs?: number | undefined;
}

/** A request to dispatch. */
export interface DispatchRequest {
  /** Encoded `GenerateRequest`. */
  readonly payload: Uint8Array;
  /** Its stop and kill reach the worker. */
  readonly context: Context;
  /** Local hashes of the prompt's complete blocks. */
  readonly blockHashes: BigUint64Array;
  readonly blockSize: number;
  readonly promptTokens: number;
  /** The only worker that may take it. */
  readonly pinned?: InstanceId | undefined;
  /** Workers that must not take it: they broke earlier attempts of this request. */
  readonly excluded?: Iterable<InstanceId> | undefined;
  readonly mode?: RouterMode | undefined;
  readonly wishes?: PlacementWishes | undefined;
  /** A worker failed it before its first token, and another one is asked. */
  readonly onRetry?: (() => void) | undefined;
  /** The router has chosen; again for every further worker. */
  readonly onPlaced?: ((placement: Placement) => void) | undefined;
}

/** One request's way through the workers. */
interface Attempt {
  readonly request: DispatchRequest;
  readonly bookingId: string;
  readonly excluded: Set<InstanceId>;
  /** The span that all choices of a worker belong to; the first worker's must not become the parent of the second's. */
  readonly trace: TraceContext | undefined;
}

/** Dispatches requests to the workers of one endpoint. */
export class Dispatcher {
  readonly #workers: WorkerPool;
  readonly #router: PlacementRouter;
  readonly #logger: Logger;
  readonly #tracer: Tracer | undefined;
  readonly #retries: Counter<'dynamo_endpoint' | 'reason'> | undefined;
  readonly #streamTimeoutMs: number;
  readonly #id = randomUUID();
  #dispatched = 0;

  constructor(options: DispatcherOptions) {
    this.#workers = options.workers;
    this.#router = options.router;
    this.#logger = options.logger;
    this.#tracer = options.tracer;
    this.#retries = options.metrics?.counter(DISPATCH_METRICS.retriesTotal);
    this.#streamTimeoutMs = options.streamTimeoutMs ?? 0;
  }

  /**
   * Resolves with the answer's stream when the first batch is there.
   *
   * @throws the last worker's error when none is left, `backend.unavailable` or `capacity.pool_exhausted` when there was
   * none, the context's reason when it was killed, a worker's own refusal of the request (`request.*`)
   */
  async dispatch(request: DispatchRequest): Promise<DispatchedStream> {
    const attempt = this.#attempt(request);
    try {
      return await this.#dispatch(attempt);
    } finally {
      // The worker has its span's context by now; a move to another one begins where this one began.
      if (attempt.trace !== undefined)
        request.context.addHeaders(injectTraceContext(attempt.trace));
    }
  }

  async #dispatch(attempt: Attempt): Promise<DispatchedStream> {
    const { request } = attempt;
    let last: DynamoError | undefined;
    for (;;) {
      const placement = await this.#route(attempt, last);
      request.onPlaced?.(placement);
      try {
        return await this.#open(attempt, placement);
      } catch (error) {
        this.#router.free(attempt.bookingId, failure(error, request.context));
        if (!isRetryable(error, request.context)) throw error;
        last = error;
        attempt.excluded.add(placement.instanceId);
        this.#onRetry(request, placement.instanceId, error);
      }
    }
  }

  /** Where the request would go now; nothing is booked or sent. @throws as {@link dispatch} for the choice */
  async advise(request: DispatchRequest): Promise<Placement> {
    return this.#route(this.#attempt(request), undefined, true);
  }

  #attempt(request: DispatchRequest): Attempt {
    this.#dispatched += 1;
    // One context may dispatch several choices, and clients of two frontends may choose the same request id.
    const bookingId = `${request.context.id}/${this.#id}-${this.#dispatched}`;
    const { trace } = request.context;
    return { request, bookingId, excluded: new Set(request.excluded), trace };
  }

  async #route(
    attempt: Attempt,
    last: DynamoError | undefined,
    advisory = false,
  ): Promise<Placement> {
    const { request, bookingId, excluded } = attempt;
    const { context, blockHashes, blockSize, promptTokens, pinned, mode, wishes } = request;
    const span = this.#tracer?.startSpan('router.route_request', {
      parent: attempt.trace,
      attributes: { request_id: context.id },
    });
    if (span !== undefined) context.addHeaders(injectTraceContext(span.context));
    try {
      const placement = await this.#router.route(
        {
          ...wishes,
          bookingId,
          blockHashes,
          blockSize,
          promptTokens,
          excluded,
          pinned,
          mode,
          advisory,
        },
        context,
      );
      if (span !== undefined) describePlacement(span, placement);
      return placement;
    } catch (error) {
      this.#router.free(bookingId, failure(error, context));
      span?.recordError(error);
      throw this.#explain(error, last);
    } finally {
      span?.end();
    }
  }

  /** When failures used up the workers, the client learns what failed and not that none is left. */
  #explain(error: unknown, last: DynamoError | undefined): unknown {
    if (last === undefined || !hasCode(error, 'backend.unavailable', 'capacity.pool_exhausted'))
      return error;
    return hasCode(last, 'capacity.worker_overloaded')
      ? new DynamoError('capacity.pool_exhausted', 'all workers are busy, please retry later', {
          cause: last,
        })
      : last;
  }

  async #open(attempt: Attempt, placement: Placement): Promise<DispatchedStream> {
    const { request, bookingId } = attempt;
    const { instanceId } = placement;
    const { context, promptTokens, blockSize } = request;
    const meter = new AnswerMeter({
      promptTokens,
      blockSize,
      routedAtMs: systemClock.monotonicMs(),
      onBlock: () => this.#router.outputBlock(bookingId),
    });
    const response = await this.#accepted(placement, request);
    const stream = new BookedStream({
      placement,
      meter,
      response,
      context,
      streamTimeoutMs: this.#streamTimeoutMs,
      onTimeout: () => this.#workers.reportDown(instanceId),
      onEnd: (outcome) => this.#router.free(bookingId, outcome),
    });
    await stream.peek();
    this.#router.prefillDone(bookingId);
    return stream;
  }

  /** Opens the request; a kill ends the wait, and an answer that is accepted after it is cancelled. */
  async #accepted(
    { instanceId, dpRank }: Placement,
    { context, payload }: DispatchRequest,
  ): Promise<RawResponse> {
    const bytes = dpRank === undefined ? payload : withDpRank(payload, dpRank);
    const opening = this.#workers.openRaw(instanceId, bytes, context);
    try {
      return await raceAbort(opening, context.killed);
    } catch (error) {
      if (context.isKilled()) void opening.then(cancelLate, ignore);
      throw error;
    }
  }

  #onRetry(
    { context, onRetry }: DispatchRequest,
    instanceId: InstanceId,
    error: DynamoError,
  ): void {
    onRetry?.();
    const endpoint = formatEndpointPath(this.#workers.path);
    this.#retries?.inc({ dynamo_endpoint: endpoint, reason: error.code });
    this.#logger.warn('worker failed before the first token, trying another', {
      request_id: context.id,
      worker_id: instanceIdHex(instanceId),
      endpoint,
      error,
    });
  }
}

function describePlacement(span: Span, placement: Placement): void {
  span.setAttribute('worker_id', instanceIdHex(placement.instanceId));
  if (placement.dpRank !== undefined) span.setAttribute('dp_rank', placement.dpRank);
  if (placement.decisionId !== undefined) span.setAttribute('decision_id', placement.decisionId);
  span.setAttribute('router_mode', placement.reason);
  span.setAttribute('overlap_blocks', placement.overlapBlocks);
  span.setAttribute('cached_tokens', placement.cachedTokens);
  span.setAttribute('queued_ms', placement.queuedMs);
}

/** The outcome of a request that got no answer. */
function failure(error: unknown, context: Context): RequestOutcome {
  const kind = context.isStopped() ? 'cancelled' : 'failed';
  return { kind, errorCode: toDynamoError(error).code };
}

function isRetryable(error: unknown, context: Context): error is DynamoError {
  return error instanceof DynamoError && error.retryable && !context.isStopped();
}

function cancelLate(response: RawResponse): void {
  response.cancel();
}

function ignore(): void {}
