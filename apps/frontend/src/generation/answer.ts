/**
 * Runs all choices of a request: dispatch, read, and add up what was used. The first choice that fails ends the others.
 */
import { asRequestId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { ChoiceFinish, UsageCounts } from '@dynamo-ts/openai';
import type { DecodedFinishReason, HashOptions } from '@dynamo-ts/preprocess';
import type { DispatchRequest, PlacementWishes } from '@dynamo-ts/routing';
import { Context } from '@dynamo-ts/runtime';

import { MigratingStream } from '../migration/migrating-stream.ts';
import type { MigrationSettings } from '../migration/migration-settings.ts';
import type { ServedModel } from '../models/served-model.ts';
import type { RequestRecord } from '../request-record.ts';
import type { ChoicePlan } from './choice-plan.ts';
import type { ChoiceResult, ChoiceSink } from './choice-reader.ts';
import { readChoice } from './choice-reader.ts';

/** What all choices of a request share. */
export interface AnswerOptions {
  readonly model: ServedModel;
  readonly plans: readonly ChoicePlan[];
  readonly context: Context;
  readonly record: RequestRecord;
  /** Worker that the client wants. */
  readonly pinned: InstanceId | undefined;
  readonly wishes: PlacementWishes;
  /** What the block hashes of the prompts were made with. */
  readonly hash: HashOptions;
  readonly migration: MigrationSettings;
  /** Makes the sink of a choice when a worker has begun to answer. */
  readonly createSink: (plan: ChoicePlan, worker: AnsweringWorker) => ChoiceSink;
}

/** The worker that answers; another one after a move. */
export type AnsweringWorker = Pick<MigratingStream, 'instanceId' | 'placement'>;

/** Runs the choices to their end. @returns what was used */
export async function runAnswer(options: AnswerOptions): Promise<UsageCounts> {
  const { plans, context } = options;
  const [only] = plans;
  if (plans.length === 1 && only !== undefined) {
    return addUsage(options, [await runChoice(options, only, context)]);
  }
  const runs = await Promise.allSettled(
    plans.map(async (plan) => {
      const child = new Context({
        id: asRequestId(`${context.id}-${plan.index}`),
        headers: context.headers,
      });
      context.linkChild(child);
      try {
        return await runChoice(options, plan, child);
      } catch (error) {
        context.kill('superseded');
        throw error;
      } finally {
        context.unlinkChild(child);
      }
    }),
  );
  return addUsage(options, runs.map(resultOf));
}

/** OpenAI's word for why a choice ended. */
export function finishOf(reason: DecodedFinishReason | undefined): ChoiceFinish | undefined {
  return reason === 'error' ? 'stop' : reason;
}

async function runChoice(
  options: AnswerOptions,
  plan: ChoicePlan,
  context: Context,
): Promise<ChoiceResult> {
  const { model, record, hash } = options;
  const decoder = plan.createDecoder();
  const stream = await MigratingStream.open({
    ...options.migration,
    dispatcher: model.dispatcher,
    request: {
      ...dispatchRequest(options, plan, context),
      onPlaced: (placement) => record.placed(placement, plan.index),
    },
    blockHashesOf: (tokenIds) => model.preprocessor.prepareTokens(tokenIds, hash).blockHashes,
    excluded: () => model.excluded,
    isComplete: () => decoder.finished,
    report: record.migrations,
  });
  record.dispatched(stream.placement, plan.index);
  const sink = options.createSink(plan, stream);
  return readChoice({
    stream,
    decoder,
    sink: {
      delta: (delta, message) => sink.delta(delta, message),
      flush: (tokens) => {
        if (decoder.finished) record.answered(plan.index);
        return sink.flush(tokens);
      },
    },
    onDecoded: (cost) => record.decoded(cost),
  });
}

/** What the dispatcher is asked for one choice. */
export function dispatchRequest(
  { model, pinned, wishes }: Pick<AnswerOptions, 'model' | 'pinned' | 'wishes'>,
  { payload, planned: { prompt } }: ChoicePlan,
  context: Context,
): Omit<DispatchRequest, 'excluded' | 'onRetry'> {
  return {
    payload,
    context,
    blockHashes: prompt.blockHashes,
    blockSize: model.card.kvCacheBlockSize,
    promptTokens: prompt.tokenIds.length,
    pinned,
    wishes,
  };
}

/** A failed run's error; the first one that is not a consequence of another's. */
function resultOf(
  run: PromiseSettledResult<ChoiceResult>,
  _index: number,
  runs: readonly PromiseSettledResult<ChoiceResult>[],
): ChoiceResult {
  if (run.status === 'fulfilled') return run.value;
  const causes = runs.flatMap((each) =>
    each.status === 'rejected' ? [each.reason as unknown] : [],
  );
  throw causes.find((cause) => !isCancelled(cause)) ?? run.reason;
}

function isCancelled(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'request.cancelled';
}

function addUsage({ plans }: AnswerOptions, results: readonly ChoiceResult[]): UsageCounts {
  const counts = results.map(({ engineUsage: engine, completionTokens }, index) => {
    const planned = plans[index]?.planned;
    // A prompt counts once, however many answers it gets.
    const isFirst = planned !== plans[index - 1]?.planned;
    const tokenised = planned?.prompt.tokenIds.length ?? 0;
    return {
      prompt: isFirst ? orElse(tokenised, engine?.promptTokens) : 0,
      cached: isFirst ? engine?.cachedTokens : undefined,
      completion: orElse(completionTokens, engine?.completionTokens),
    };
  });
  const cached = counts.flatMap((count) => count.cached ?? []);
  return {
    promptTokens: sum(counts.map((count) => count.prompt)),
    completionTokens: sum(counts.map((count) => count.completion)),
    cachedTokens: cached.length === 0 ? undefined : sum(cached),
  };
}

/** What was counted here; an engine whose output is text counts by itself. */
function orElse(own: number, engines: number | undefined): number {
  return own > 0 ? own : (engines ?? 0);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
