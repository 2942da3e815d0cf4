/** Answers `POST /v1/chat/completions` and `/v1/completions` (RF 3.4). */
import type { IncomingMessage, ServerResponse } from 'node:http';

import { abortError, onAbort, throwIfAborted } from '@dynamo-ts/base';
import {
  ChoiceChunks,
  ChoiceFold,
  LogprobFormatter,
  SSE_DONE,
  requestedLogprobs,
  requestedSalt,
  responseJson,
  usageChunk,
} from '@dynamo-ts/openai';
import type { OpenAiRequest, ResponseHead, UsageCounts } from '@dynamo-ts/openai';
import type { Telemetry } from '@dynamo-ts/telemetry';

import type { Admission } from '../admission.ts';
import type { AdmissionGates, AdmissionPlace } from '../admission-gates.ts';
import type { FrontendMetrics } from '../frontend-metrics.ts';
import { UNKNOWN_MODEL } from '../frontend-metrics.ts';
import { runAnswer } from '../generation/answer.ts';
import type { AnswerOptions } from '../generation/answer.ts';
import { planChoices } from '../generation/choice-plan.ts';
import { FoldSink } from '../generation/fold-sink.ts';
import { pinnedWorker, placementWishes } from '../generation/placement-wishes.ts';
import { annotationEvents, responseNvext } from '../generation/response-extras.ts';
import { StreamSink } from '../generation/stream-sink.ts';
import { migrationOf } from '../migration/migration-settings.ts';
import type { MigrationSettings } from '../migration/migration-settings.ts';
import type { ModelSource, ServedModel } from '../models/served-model.ts';
import { RequestRecord } from '../request-record.ts';
import { Exchange } from './exchange.ts';
import { readGenerationBody } from './generation-body.ts';
import type { GenerationBody } from './generation-body.ts';
import type { GenerationEndpoint, ParsedRequest } from './generation-endpoint.ts';
import type { SseKeepAlive } from './keep-alive.ts';
import { metadataHeaders } from './metadata-headers.ts';
import { answerAdvice, wantsAdvice } from './placement-advice.ts';
import { routingHeaders } from './request-headers.ts';
import { fillFromTemplate } from './request-template.ts';
import type { RequestTemplate } from './request-template.ts';
import { SseWriter } from './sse-writer.ts';

/** Settings of a {@link GenerationHandler}. */
export interface GenerationSettings {
  readonly bodyLimitBytes: number;
  readonly overloadStatus: number;
  readonly ignoreUnsupported: boolean;
  readonly forceIncludeUsage: boolean;
  readonly disableNvext: boolean;
  /** Headers that begin with this go to the worker. */
  readonly metadataPrefix: string;
  /** Values for requests that leave them out. */
  readonly requestTemplate: RequestTemplate | undefined;
  readonly migration: MigrationSettings;
}

/** What a {@link GenerationHandler} needs. */
export interface GenerationHandlerOptions {
  readonly models: ModelSource;
  readonly metrics: FrontendMetrics;
  readonly telemetry: Telemetry;
  readonly admission: Admission;
  readonly gates: AdmissionGates;
  readonly keepAlive: SseKeepAlive;
  readonly settings: GenerationSettings;
}

/** One admitted request on its way. */
interface Job {
  readonly endpoint: GenerationEndpoint;
  readonly exchange: Exchange;
  readonly record: RequestRecord;
}

/** What a job is made ready with. */
interface Preparation {
  readonly body: GenerationBody;
  readonly model: ServedModel;
  readonly place: AdmissionPlace;
}

/** A job whose choices are ready to run. */
interface ReadyJob extends Job, Omit<AnswerOptions, 'createSink'> {
  readonly request: OpenAiRequest;
  readonly head: ResponseHead;
  /** Annotation events; for streams. */
  readonly annotations: string;
}

/** Handles both generating endpoints. */
export class GenerationHandler {
  readonly #options: GenerationHandlerOptions;

  constructor(options: GenerationHandlerOptions) {
    this.#options = options;
  }

  /** Answers one request; never throws. */
  async handle(
    endpoint: GenerationEndpoint,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { telemetry, metrics, settings } = this.#options;
    const errors = { overloadStatus: settings.overloadStatus };
    const exchange = new Exchange({ request, response, tracer: telemetry.tracer, errors });
    const { span, ids, receivedMs } = exchange;
    const record = new RequestRecord({
      metrics,
      logger: telemetry.logger,
      span,
      endpoint: endpoint.label,
      receivedMs,
      ids,
    });
    onAbort(exchange.context.killed, () => {
      if (exchange.clientGone) record.left();
    });
    const job: Job = { endpoint, exchange, record };
    try {
      using _admitted = this.#options.admission.admit(() => exchange.context.kill('shutdown'));
      record.finish({ usage: await this.#run(job) });
    } catch (error) {
      const { killed } = exchange.context;
      const cause = killed.aborted ? abortError(killed) : error;
      record.finish({ error: cause });
      if (!exchange.clientGone && !response.headersSent) exchange.fail(cause);
    }
  }

  async #run(job: Job): Promise<UsageCounts> {
    const { endpoint, exchange, record } = job;
    const { settings, models } = this.#options;
    exchange.context.addHeaders(metadataHeaders(exchange.request, settings.metadataPrefix));
    const body = await this.#readBody(job);
    if (settings.disableNvext) dropNvext(body.fields);
    const parsed = endpoint.parse(body.fields, settings);
    const { request } = parsed;
    const type = request.stream === true ? 'stream' : 'unary';
    const name = models.canonicalName(request.model) ?? UNKNOWN_MODEL;
    record.start(name, type);
    using place = this.#options.gates.enter(name);
    const model = models.acquire(request.model);
    try {
      const ready = await this.#prepare(job, parsed, { body, model, place });
      if (wantsAdvice(request)) return await answerAdvice(ready);
      return await (type === 'stream' ? this.#stream(ready) : this.#answer(ready));
    } finally {
      model.release();
    }
  }

  async #readBody({ endpoint, exchange }: Job): Promise<GenerationBody> {
    const { bodyLimitBytes, requestTemplate } = this.#options.settings;
    const body = await readGenerationBody(exchange.request, bodyLimitBytes);
    return requestTemplate === undefined
      ? body
      : fillFromTemplate(body, requestTemplate, endpoint.limitField);
  }

  async #prepare(
    job: Job,
    parsed: ParsedRequest,
    { body, model, place }: Preparation,
  ): Promise<ReadyJob> {
    const { endpoint, exchange, record } = job;
    const { request } = parsed;
    const routing = routingHeaders(exchange.request.headers);
    const hash = { salt: routing.cacheSalt ?? requestedSalt(request) };
    const prompts = await parsed.prepare(model, body, hash);
    record.prepared(prompts.map(({ prompt }) => prompt));
    const receivedAtMs = performance.timeOrigin + exchange.receivedMs;
    const plans = planChoices({ request, model, prompts, routing, receivedAtMs });
    place.setAnswers(plans.length);
    record.planned(plans.length);
    const { requestId } = exchange.ids;
    return {
      ...job,
      request,
      model,
      plans,
      context: exchange.context,
      migration: migrationOf(this.#options.settings.migration, model.card),
      pinned: pinnedWorker(request, routing),
      wishes: placementWishes(request, routing),
      hash,
      annotations: annotationEvents(request, requestId, prompts),
      head: {
        kind: endpoint.kind,
        id: endpoint.idPrefix + requestId,
        created: Math.floor(receivedAtMs / 1000),
        model: request.model,
      },
    };
  }

  async #stream(job: ReadyJob): Promise<UsageCounts> {
    const { exchange, request, head } = job;
    const { headers, response } = exchange;
    const { waitingStreams: waiting } = this.#options.metrics;
    const writer = new SseWriter({ response, headers, waiting });
    const forget = this.#options.keepAlive.watch(writer);
    const withUsage =
      request.stream_options?.include_usage === true || this.#options.settings.forceIncludeUsage;
    try {
      const usage = await runAnswer({
        ...job,
        createSink: (plan, worker) => {
          exchange.placed(job.record);
          const chunks = new ChoiceChunks({ head, index: plan.index, nullUsage: withUsage });
          const { echo } = plan.planned;
          return new StreamSink({
            kind: head.kind,
            writer,
            chunks,
            record: job.record,
            logprobs: createLogprobs(job),
            continuousUsage:
              request.stream_options?.continuous_usage_stats === true
                ? plan.planned.prompt.tokenIds.length
                : undefined,
            metricsOf:
              request.nvext?.annotations?.includes('llm_metrics') === true
                ? plan.planned.prompt
                : undefined,
            nvext: (delta) => responseNvext(request, { worker, record: job.record, delta }),
            preamble: (plan.index === 0 ? job.annotations : '') + (echo && chunks.text(echo)),
          });
        },
      });
      // The client may have left before it had taken the last of it.
      throwIfAborted(exchange.context.killed);
      writer.end(withUsage ? usageChunk(head, usage) + SSE_DONE : SSE_DONE);
      return usage;
    } catch (error) {
      if (writer.started && !exchange.clientGone) exchange.fail(error, writer);
      throw error;
    } finally {
      forget();
    }
  }

  async #answer(job: ReadyJob): Promise<UsageCounts> {
    const { exchange, request, head, record, plans } = job;
    const folds = plans.map((plan) => new ChoiceFold(plan.index));
    let nvext: unknown;
    const usage = await runAnswer({
      ...job,
      createSink: (plan, worker) => {
        exchange.placed(job.record);
        const fold = folds[plan.index] ?? new ChoiceFold(plan.index);
        fold.add(plan.planned.echo);
        const onFinish = (delta: Parameters<typeof responseNvext>[1]['delta']): void => {
          nvext ??= responseNvext(request, { worker, record, delta });
        };
        return new FoldSink({ fold, record, onFinish });
      },
    });
    throwIfAborted(exchange.context.killed);
    const logprobs = (): LogprobFormatter | undefined => createLogprobs(job);
    exchange.sendJson(200, responseJson({ head, choices: folds, usage, logprobs, nvext }));
    return usage;
  }
}

function createLogprobs({ request, model }: ReadyJob): LogprobFormatter | undefined {
  if (requestedLogprobs(request) === undefined) return undefined;
  return new LogprobFormatter({
    texts: model.preprocessor,
    asTokenIds: request.return_tokens_as_token_ids ?? false,
  });
}

function dropNvext(fields: unknown): void {
  if (typeof fields === 'object' && fields !== null && 'nvext' in fields) delete fields.nvext;
}
