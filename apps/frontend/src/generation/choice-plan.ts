/**
 * Turns one validated request into what is sent to workers: one request per prompt and answer. Choice index =
 * prompt × n + answer.
 */
import { DynamoError } from '@dynamo-ts/base';
import { requestedMaxTokens, requestedStopIds, toGenerateRequest } from '@dynamo-ts/openai';
import type { OpenAiRequest } from '@dynamo-ts/openai';
import type { ChoiceDecoder, PreparedPrompt } from '@dynamo-ts/preprocess';
import { GenerateRequest, tokenIdsToBytes } from '@dynamo-ts/protocol';
import type { RoutingHints } from '@dynamo-ts/protocol';

import type { ServedModel } from '../models/served-model.ts';

/** A prompt and, for `echo`, its text. */
export interface PlannedPrompt {
  readonly prompt: PreparedPrompt;
  readonly echo: string;
  /** Body for an engine whose input is text; makes the body of each answer. */
  readonly textBody?: ((choice: number) => Uint8Array) | undefined;
}

/** One choice of the response. */
export interface ChoicePlan {
  readonly index: number;
  readonly planned: PlannedPrompt;
  /** Encoded `GenerateRequest`. */
  readonly payload: Uint8Array;
  readonly createDecoder: () => ChoiceDecoder;
}

/** What all choices of a request share. */
export interface PlanOptions {
  readonly request: OpenAiRequest;
  readonly model: ServedModel;
  readonly prompts: readonly PlannedPrompt[];
  /** Routing wishes from headers; they win. */
  readonly routing: Partial<RoutingHints>;
  /** Unix milliseconds at receipt. */
  readonly receivedAtMs: number;
}

/**
 * Plans every choice.
 *
 * @throws `request.context_length` when a prompt leaves no room for an answer, `request.invalid` when it is empty
 */
export function planChoices(options: PlanOptions): readonly ChoicePlan[] {
  const n = options.request.n ?? 1;
  return options.prompts.flatMap((planned, promptIndex) => {
    const { textInput, tokenIds } = planned.prompt;
    const place = placeOf(options, promptIndex);
    if (textInput === undefined && tokenIds.length === 0)
      throw new DynamoError('request.invalid', `${place.has} no tokens`, {
        details: { param: place.param },
      });
    const limits = answerLimits(options, planned.prompt, place);
    return Array.from({ length: n }, (_, choice) => ({
      index: promptIndex * n + choice,
      planned,
      payload: encodeRequest(options, planned, { choice, maxTokens: limits.requested }),
      createDecoder: () => createDecoder(options, planned.prompt, limits.room),
    }));
  });
}

/** Where in the body a prompt is. */
interface PromptPlace {
  readonly param: string;
  /** Begins a sentence about it; one of several is named as a client writes it: `prompt[1] has`. */
  readonly has: string;
}

function placeOf({ request }: PlanOptions, index: number): PromptPlace {
  if (!('prompt' in request)) return { param: 'messages', has: 'the messages have' };
  const isOneOfSeveral = request.prompt.length > 1;
  return { param: 'prompt', has: isOneOfSeveral ? `prompt[${index}] has` : 'the prompt has' };
}

interface Answer {
  readonly choice: number;
  readonly maxTokens: number | undefined;
}

interface AnswerLimits {
  /** What the engine is told; undefined when the client named no limit, because the engine may know a better end. */
  readonly requested: number | undefined;
  /** Where the answer is cut here. */
  readonly room: number | undefined;
}

function answerLimits(
  { request, model }: PlanOptions,
  prompt: PreparedPrompt,
  { param, has }: PromptPlace,
): AnswerLimits {
  const requested = requestedMaxTokens(request);
  const limit = model.card.contextLength;
  if (limit === 0 || prompt.textInput !== undefined) return { requested, room: requested };
  const actual = prompt.tokenIds.length;
  if (actual >= limit) {
    throw new DynamoError(
      'request.context_length',
      `This model's maximum context length is ${limit} tokens, but ${has} ${actual} tokens.`,
      { details: { param, limit, actual } },
    );
  }
  const room = Math.min(requested ?? limit, limit - actual);
  return { requested: requested === undefined ? undefined : room, room };
}

function encodeRequest(options: PlanOptions, planned: PlannedPrompt, answer: Answer): Uint8Array {
  const { request, model, routing, receivedAtMs } = options;
  const { prompt } = planned;
  const message = toGenerateRequest(request, answer.choice);
  message.model = model.name;
  message.mdcSum = model.card.mdcSum;
  message.requestTimestampMs = receivedAtMs;
  message.tokenIdsLe = tokenIdsToBytes(prompt.tokenIds);
  message.eosTokenIdsLe = tokenIdsToBytes(Uint32Array.from(model.card.eosTokenIds));
  if (message.samplingOptions !== undefined) {
    message.samplingOptions = model.preprocessor.withDefaults(message.samplingOptions);
  }
  if (message.stopConditions !== undefined) message.stopConditions.maxTokens = answer.maxTokens;
  if (message.routing !== undefined) Object.assign(message.routing, routing);
  if (prompt.textInput !== undefined) {
    const bodyJson = planned.textBody?.(answer.choice) ?? prompt.textInput.bodyJson;
    message.textInput = { kind: prompt.textInput.kind, bodyJson };
  }
  return GenerateRequest.encode(message).finish();
}

function createDecoder(
  { request, model }: PlanOptions,
  prompt: PreparedPrompt,
  maxTokens: number | undefined,
): ChoiceDecoder {
  return model.preprocessor.createDecoder({
    stop: request.stop?.strings,
    stopTokenIds: requestedStopIds(request),
    includeStopStrInOutput: request.include_stop_str_in_output,
    minTokens: request.min_tokens,
    maxTokens,
    ignoreEos: request.ignore_eos,
    skipSpecialTokens: request.skip_special_tokens,
    promptTail: prompt.tokenIds,
  });
}
