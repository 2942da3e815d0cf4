/** From a validated OpenAI request to what an engine is asked for (RF 4.5). */
import {
  GenerateRequest,
  GuidedDecoding,
  OutputOptions,
  RoutingHints,
  SamplingOptions,
  StopConditions,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';

import type { ChatRequest } from './chat-request.ts';
import type { CommonFields } from './common-fields.ts';
import type { CompletionRequest } from './completion-request.ts';
import type { ResponseFormat } from './response-format.ts';

/** Either request. */
export type OpenAiRequest = ChatRequest | CompletionRequest;

/** Most tokens the client allows; `max_completion_tokens` wins over the older name. */
export function requestedMaxTokens(request: OpenAiRequest): number | undefined {
  const newer = 'max_completion_tokens' in request ? request.max_completion_tokens : undefined;
  return newer ?? request.max_tokens;
}

/** Number of top logprobs per token that the client asked for; undefined when it asked for none. */
export function requestedLogprobs(request: OpenAiRequest): number | undefined {
  if (typeof request.logprobs === 'number') return request.logprobs;
  if (request.logprobs !== true) return undefined;
  return 'top_logprobs' in request ? (request.top_logprobs ?? 0) : 0;
}

/**
 * What both kinds of input share: everything but the prompt. `choice` counts the answers to one prompt.
 *
 * @param random seeds choices after the first when the client gave no seed
 */
export function toGenerateRequest(
  request: OpenAiRequest,
  choice: number,
  random: () => number = Math.random,
): GenerateRequest {
  return GenerateRequest.fromPartial({
    model: request.model,
    stopConditions: stopConditions(request),
    samplingOptions: samplingOptions(request, seedOf(request.seed, choice, random)),
    outputOptions: outputOptions(request),
    annotations: [...(request.nvext?.annotations ?? [])],
    routing: routingHints(request),
  });
}

/** Ids that a client named as stops, in `stop` or `stop_token_ids`. */
export function requestedStopIds(request: CommonFields): readonly number[] {
  return [...(request.stop?.tokenIds ?? []), ...(request.stop_token_ids ?? [])];
}

/** What separates the request's cached blocks from those of others; two names of one thing. */
export function requestedSalt(request: CommonFields): string | undefined {
  return request.cache_salt ?? request.nvext?.cache_namespace;
}

function stopConditions(request: OpenAiRequest): StopConditions {
  return StopConditions.fromPartial({
    maxTokens: requestedMaxTokens(request),
    minTokens: request.min_tokens,
    ignoreEos: request.ignore_eos ?? false,
    stop: [...(request.stop?.strings ?? [])],
    stopTokenIdsLe: idBytes(requestedStopIds(request)),
    maxThinkingTokens: request.nvext?.max_thinking_tokens,
  });
}

function samplingOptions(request: OpenAiRequest, seed: bigint | undefined): SamplingOptions {
  return SamplingOptions.fromPartial({
    n: 1,
    temperature: request.temperature,
    topP: request.top_p,
    topK: request.top_k,
    minP: request.min_p,
    frequencyPenalty: request.frequency_penalty,
    presencePenalty: request.presence_penalty,
    repetitionPenalty: request.repetition_penalty,
    lengthPenalty: request.length_penalty,
    seed,
    logitBias: request.logit_bias ?? {},
    allowedTokenIdsLe: idBytes(request.allowed_token_ids ?? []),
    badWords: [...(request.bad_words ?? [])],
    guidedDecoding: guidedDecoding(request),
    bestOf: request.best_of,
    includeStopStrInOutput: request.include_stop_str_in_output ?? false,
  });
}

/** No engine refuses a seed of 31 bits. */
const SEEDS = 0x8000_0000;

/**
 * Every choice has a seed of its own, else all n answers would be the same. Without a seed the first choice is what n = 1
 * gives, and the others get a random one: an engine whose unseeded answers do not vary would repeat itself.
 */
function seedOf(
  seed: number | undefined,
  choice: number,
  random: () => number,
): bigint | undefined {
  if (seed !== undefined) return BigInt.asUintN(64, BigInt(seed) + BigInt(choice));
  return choice === 0 ? undefined : BigInt(Math.floor(random() * SEEDS));
}

function outputOptions(request: OpenAiRequest): OutputOptions {
  return OutputOptions.fromPartial({
    logprobs: requestedLogprobs(request),
    promptLogprobs: request.prompt_logprobs,
    skipSpecialTokens: request.skip_special_tokens ?? true,
    returnTokensAsTokenIds: request.return_tokens_as_token_ids ?? false,
  });
}

function routingHints(request: CommonFields): RoutingHints {
  const nvext = request.nvext ?? {};
  const hints = nvext.agent_hints ?? {};
  return RoutingHints.fromPartial({
    backendInstanceId: nvext.backend_instance_id,
    prefillWorkerId: nvext.prefill_worker_id,
    decodeWorkerId: nvext.decode_worker_id,
    dpRank: nvext.dp_rank,
    prefillDpRank: nvext.prefill_dp_rank,
    cacheSalt: requestedSalt(request) ?? '',
    priority: hints.priority,
    strictPriority: hints.strict_priority,
    expectedOutputTokens: hints.osl,
  });
}

function guidedDecoding(request: OpenAiRequest): GuidedDecoding | undefined {
  const schema = guidedSchema(request.guided_json, request.response_format);
  const guided = GuidedDecoding.fromPartial({
    jsonSchema: schema,
    regex: request.guided_regex ?? '',
    choice: [...(request.guided_choice ?? [])],
    grammar: request.guided_grammar ?? '',
    backend: request.guided_decoding_backend ?? '',
    whitespacePattern: request.guided_whitespace_pattern ?? '',
    jsonObject: request.response_format?.type === 'json_object',
  });
  const guides =
    guided.jsonObject ||
    guided.choice.length > 0 ||
    [guided.jsonSchema, guided.regex, guided.grammar].some((text) => text !== '');
  return guides ? guided : undefined;
}

function guidedSchema(guidedJson: unknown, format: ResponseFormat | undefined): string {
  if (format?.type === 'json_schema') return JSON.stringify(format.json_schema.schema);
  if (guidedJson === undefined) return '';
  return typeof guidedJson === 'string' ? guidedJson : JSON.stringify(guidedJson);
}

function idBytes(ids: readonly number[]): Uint8Array {
  return tokenIdsToBytes(Uint32Array.from(ids));
}
