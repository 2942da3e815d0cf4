/**
 * What is remembered about one request: metrics, one log line, one span. Exactly one `finish` counts, whichever path it
 * comes from.
 */
import { instanceIdHex, toDynamoError } from '@dynamo-ts/base';
import type { ErrorCode } from '@dynamo-ts/base';
import type { UsageCounts } from '@dynamo-ts/openai';
import type { PreparedPrompt } from '@dynamo-ts/preprocess';
import type { Placement } from '@dynamo-ts/routing';
import type { BoundGauge, Logger, Span } from '@dynamo-ts/telemetry';

import type { FrontendMetrics, ModelMetrics } from './frontend-metrics.ts';
import { UNKNOWN_MODEL } from './frontend-metrics.ts';
import type { DecodingCost } from './generation/choice-reader.ts';
import { MigrationReport } from './migration/migration-report.ts';

/** What a {@link RequestRecord} needs. */
export interface RequestRecordOptions {
  readonly metrics: FrontendMetrics;
  readonly logger: Logger;
  readonly span: Span;
  readonly endpoint: 'chat_completions' | 'completions';
  /** `performance.now()` at receipt. */
  readonly receivedMs: number;
  readonly ids: { readonly requestId: string; readonly clientRequestId: string };
}

/** A header must not outgrow what clients and proxies take. */
const MOST_DECISION_IDS = 128;

/** What is being done for a request. */
export type RequestPhase = 'preprocess' | 'route' | 'prefill' | 'decode' | 'postprocess';

/** Whether a request is streamed. */
export type RequestType = 'stream' | 'unary';

/** Record of one request. */
export class RequestRecord {
  /** `performance.now()` at receipt. */
  readonly receivedMs: number;
  readonly #options: RequestRecordOptions;
  #model = UNKNOWN_MODEL;
  #type: RequestType = 'unary';
  #metrics: ModelMetrics | undefined;
  #stage: BoundGauge | undefined;
  #preparedMs = 0;
  #firstTokenMs: number | undefined;
  #lastTokenMs = 0;
  #laterTokens = 0;
  #placement: Placement | undefined;
  /** When the router chose a worker, by choice. */
  readonly #routedMs: number[] = [];
  readonly #decisionIds: string[] = [];
  #migrations: MigrationReport | undefined;
  /** Choices whose last token has come. */
  readonly #answered = new Set<number>();
  #choices = 1;
  #left: { readonly phase: RequestPhase; readonly atMs: number } | undefined;
  #finished = false;

  constructor(options: RequestRecordOptions) {
    this.#options = options;
    this.receivedMs = options.receivedMs;
  }

  /** Time from receipt to the first token; undefined before it. */
  get firstTokenMs(): number | undefined {
    return this.#firstTokenMs === undefined ? undefined : this.#firstTokenMs - this.receivedMs;
  }

  /** Mean time between two tokens so far; undefined before the second batch. */
  get meanInterTokenMs(): number | undefined {
    if (this.#firstTokenMs === undefined || this.#laterTokens === 0) return undefined;
    return (this.#lastTokenMs - this.#firstTokenMs) / this.#laterTokens;
  }

  /** The router's decisions so far, in order of the choices and separated by commas; undefined when none is recorded. */
  get decisionId(): string | undefined {
    const ids = this.#decisionIds.filter((id) => id !== '').slice(0, MOST_DECISION_IDS);
    return ids.length === 0 ? undefined : ids.join(', ');
  }

  /** Where moves between workers are reported. */
  get migrations(): MigrationReport {
    const { metrics, logger, span, ids } = this.#options;
    this.#migrations ??= new MigrationReport({
      metrics: metrics.migration,
      logger,
      span,
      requestId: ids.requestId,
      model: this.#model,
    });
    return this.#migrations;
  }

  /** The body was valid. `model` is a served name or {@link UNKNOWN_MODEL}. */
  start(model: string, type: RequestType): void {
    const { metrics, endpoint, span } = this.#options;
    this.#model = model;
    this.#type = type;
    this.#metrics = metrics.model(model);
    this.#metrics.active.inc();
    this.#metrics.inflight.inc();
    this.#metrics.queued.inc();
    metrics.requestsStarted.inc({ model, endpoint, request_type: type });
    span.setAttribute('model', model);
    this.#enter(metrics.stages.preprocess);
  }

  /** The prompts are ready. */
  prepared(prompts: readonly PreparedPrompt[]): void {
    this.#preparedMs = performance.now();
    const { metrics } = this.#options;
    const tokens = prompts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    const isCached = prompts.some(({ cachedTokens }) => cachedTokens > 0);
    metrics.preprocessSeconds.observe((this.#preparedMs - this.receivedMs) / 1000);
    this.#metrics?.inputTokens.observe(tokens);
    (isCached ? metrics.tokenizerCacheHits : metrics.tokenizerCacheMisses).inc();
    for (const { templateMs, tokenizeMs } of prompts) {
      if (templateMs !== undefined) this.#metrics?.templateSeconds.observe(templateMs / 1000);
      if (tokenizeMs === undefined) continue;
      this.#metrics?.tokenizeSeconds.observe(tokenizeMs / 1000);
      metrics.tokenizeMs.observe(tokenizeMs);
    }
    this.#enter(metrics.stages.route);
  }

  /** The router has chosen a worker for a choice; again when another one must take it, whose decision then counts. */
  placed({ decisionId = '' }: Placement, choice: number): void {
    this.#decisionIds[choice] = decisionId;
    if (this.#routedMs[choice] !== undefined) return;
    const { metrics } = this.#options;
    const nowMs = performance.now();
    this.#routedMs[choice] = nowMs;
    metrics.routeSeconds.observe((nowMs - this.#preparedMs) / 1000);
    if (this.#stage === metrics.stages.route) this.#enter(metrics.stages.dispatch);
  }

  /** A choice's ids have become text. */
  decoded({ ms, messages, tokens }: DecodingCost): void {
    if (messages === 0) return;
    const { metrics } = this.#options;
    metrics.detokenizeMs.observe(ms / messages);
    metrics.detokenizeTotalUs.inc(ms * 1000);
    metrics.detokenizeTokens.inc(tokens);
  }

  /** A worker has begun to answer; of several choices the first one's place is told. */
  dispatched(placement: Placement, choice: number): void {
    const { metrics, span } = this.#options;
    const sinceMs = this.#routedMs[choice] ?? this.#preparedMs;
    metrics.dispatchSeconds.observe((performance.now() - sinceMs) / 1000);
    this.#enter(undefined);
    if (this.#placement !== undefined) return;
    this.#placement = placement;
    span.setAttribute('worker_id', instanceIdHex(placement.instanceId));
  }

  /** Tokens arrived together. */
  tokens(count: number, nowMs: number): void {
    const metrics = this.#metrics;
    if (count === 0 || metrics === undefined) return;
    if (this.#firstTokenMs === undefined) {
      this.#firstTokenMs = nowMs;
      metrics.firstTokenSeconds.observe((nowMs - this.receivedMs) / 1000);
      metrics.queued.dec();
    } else {
      metrics.interTokenSeconds.observe((nowMs - this.#lastTokenMs) / count / 1000, count);
      this.#laterTokens += count;
    }
    this.#lastTokenMs = nowMs;
    metrics.outputTokensTotal.inc(count);
  }

  /** The request has so many choices; one until it says so. */
  planned(choices: number): void {
    this.#choices = choices;
  }

  /** The engine has given all of a choice; what is left is to send it. Idempotent. */
  answered(choice: number): void {
    this.#answered.add(choice);
  }

  /** The client has left. */
  left(): void {
    this.#left ??= { phase: this.#phase(), atMs: performance.now() };
  }

  /** The request has ended; later calls do nothing. */
  finish(outcome: { readonly error?: unknown; readonly usage?: UsageCounts | undefined }): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#enter(undefined);
    const { span } = this.#options;
    const failed = outcome.error !== undefined;
    const errorType = failed ? errorTypeOf(outcome.error) : '';
    this.#count(errorType);
    this.#settleModel(outcome.usage);
    if (this.decisionId !== undefined) span.setAttribute('decision_id', this.decisionId);
    if (failed) span.recordError(outcome.error);
    span.end();
    this.#log(errorType, outcome);
  }

  #phase(): RequestPhase {
    const { dispatch, route } = this.#options.metrics.stages;
    if (this.#answered.size >= this.#choices) return 'postprocess';
    if (this.#placement !== undefined) return 'decode';
    if (this.#stage === dispatch) return 'prefill';
    return this.#stage === route ? 'route' : 'preprocess';
  }

  /** A request is in one stage at a time, until its first worker answers. */
  #enter(stage: BoundGauge | undefined): void {
    this.#stage?.dec();
    this.#stage = stage;
    stage?.inc();
  }

  #count(errorType: string): void {
    const { metrics, endpoint } = this.#options;
    const labels = { model: this.#model, endpoint, request_type: this.#type };
    const status = errorType === '' ? 'success' : 'error';
    metrics.requestsTotal.inc({ ...labels, status, error_type: errorType });
    if (errorType === 'overload') metrics.rejections.inc({ model: this.#model, endpoint });
    if (errorType !== 'cancelled') return;
    metrics.cancellations.inc(labels);
    if (this.#left !== undefined) {
      const { atMs, phase } = this.#left;
      metrics.cancellationSeconds.observe({ phase }, (performance.now() - atMs) / 1000);
    }
    metrics.disconnectedClients.inc();
  }

  #settleModel(usage: UsageCounts | undefined): void {
    const metrics = this.#metrics;
    if (metrics === undefined) return;
    metrics.active.dec();
    metrics.inflight.dec();
    if (this.#firstTokenMs === undefined) metrics.queued.dec();
    metrics.durationSeconds.observe((performance.now() - this.receivedMs) / 1000);
    if (usage === undefined) return;
    metrics.outputTokens.observe(usage.completionTokens);
    if (usage.cachedTokens !== undefined) metrics.cachedTokens.observe(usage.cachedTokens);
  }

  #log(
    errorType: string,
    outcome: { readonly error?: unknown; readonly usage?: UsageCounts | undefined },
  ): void {
    const { logger, endpoint, span, ids } = this.#options;
    const fields = {
      trace_id: span.context.traceId,
      span_id: span.context.spanId,
      request_id: ids.requestId,
      x_request_id: ids.clientRequestId,
      endpoint,
      model: this.#model,
      request_type: this.#type,
      duration_ms: round(performance.now() - this.receivedMs),
      ...(this.firstTokenMs === undefined ? {} : { ttft_ms: round(this.firstTokenMs) }),
      ...(outcome.usage === undefined
        ? {}
        : {
            input_tokens: outcome.usage.promptTokens,
            output_tokens: outcome.usage.completionTokens,
            cached_tokens: outcome.usage.cachedTokens,
          }),
      ...(this.#placement === undefined
        ? {}
        : {
            worker_id: instanceIdHex(this.#placement.instanceId),
            decision_id: this.decisionId,
          }),
    };
    if (errorType === '') logger.info('request completed', fields);
    else if (errorType === 'internal') {
      logger.error('request failed', { ...fields, error_type: errorType, error: outcome.error });
    } else {
      const { code, message } = toDynamoError(outcome.error);
      logger.info('request ended', { ...fields, error_type: errorType, code, reason: message });
    }
  }
}

/** The `error_type` label (RF 3.10). */
export function errorTypeOf(error: unknown): string {
  const { code, info } = toDynamoError(error);
  return ERROR_TYPES[info.http] ?? (isCapacity(code) ? 'overload' : 'validation');
}

const ERROR_TYPES: Readonly<Record<number, string>> = {
  404: 'not_found',
  499: 'cancelled',
  500: 'internal',
  501: 'not_implemented',
  503: 'unavailable',
  504: 'response_timeout',
  529: 'overload',
};

function isCapacity(code: ErrorCode): boolean {
  return code.startsWith('capacity.');
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
