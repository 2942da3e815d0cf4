/**
 * Requests by token ids to servers that take them and give them back (vLLM's `return_token_ids`; frames as recorded from
 * vLLM 0.32). Stop strings are the frontend's business and are not sent.
 */
import { tokenIdsFromBytes, tokenIdsToBytes } from '@dynamo-ts/protocol';
import type {
  GenerateRequest,
  GuidedDecoding,
  OutputOptions,
  RoutingHints,
  SamplingOptions,
  StopConditions,
} from '@dynamo-ts/protocol';

import { arrayOf, numberOf, parseRecord } from '../../http/json-fields.ts';
import type { JsonRecord } from '../../http/json-fields.ts';
import type { HttpQuestion, PartialResponse } from '../http-answers.ts';
import { OpenAiReader, readLogprobs } from './openai-reader.ts';
import type { TextTarget } from './openai-text.ts';
import { refuseUnsupported } from '../unsupported.ts';

/** The path of token requests. */
export const TOKENS_PATH = '/v1/completions';

/** The question to put to the engine. @throws `request.invalid` for what it cannot do */
export function tokensQuestion(request: GenerateRequest, target: TextTarget): HttpQuestion {
  const tokenIds = tokenIdsFromBytes(request.tokenIdsLe);
  refuseUnsupported('openai', [
    ['thinking-token limit', request.stopConditions?.maxThinkingTokens !== undefined],
  ]);
  return {
    path: TOKENS_PATH,
    json: `{"prompt":[${tokenIds.join(',')}],${JSON.stringify(fields(request, target)).slice(1)}`,
    promptTokens: tokenIds.length,
    reader: new OpenAiReader({
      address: target.address,
      choices: request.samplingOptions?.n ?? 1,
      readChoice: readTokensChoice,
      stopMeansEos: true,
    }),
  };
}

/** A request for one token, to see whether a server takes ids and gives them back. */
export function tokensProbe(model: string): string {
  return JSON.stringify({
    ...STREAMED,
    model,
    prompt: [1],
    max_tokens: 1,
    temperature: 0,
  });
}

const STREAMED = {
  stream: true,
  stream_options: { include_usage: true },
  return_token_ids: true,
} as const;

function fields(request: GenerateRequest, target: TextTarget): JsonRecord {
  const { samplingOptions: sampling, transferParamsJson } = request;
  return {
    ...STREAMED,
    model: target.model,
    kv_transfer_params: transferParamsJson === '' ? undefined : parseRecord(transferParamsJson),
    ...stopFields(request.stopConditions),
    ...outputFields(request.outputOptions),
    ...routingFields(request.routing),
    ...(sampling === undefined ? {} : samplingFields(sampling)),
  };
}

function stopFields(stop: StopConditions | undefined): JsonRecord {
  if (stop === undefined) return {};
  const stopIds = Array.from(tokenIdsFromBytes(stop.stopTokenIdsLe));
  return {
    max_tokens: stop.maxTokens,
    min_tokens: stop.minTokens,
    ignore_eos: stop.ignoreEos || undefined,
    stop_token_ids: stopIds.length === 0 ? undefined : stopIds,
  };
}

function outputFields(output: OutputOptions | undefined): JsonRecord {
  if (output === undefined) return {};
  return {
    logprobs: output.logprobs,
    prompt_logprobs: output.promptLogprobs,
    return_tokens_as_token_ids: output.logprobs === undefined ? undefined : true,
  };
}

/** An adapter is served under its own model name. */
function routingFields(routing: RoutingHints | undefined): JsonRecord {
  if (routing === undefined) return {};
  return {
    ...(routing.loraName === '' ? {} : { model: routing.loraName }),
    cache_salt: routing.cacheSalt || undefined,
    priority: routing.priority,
  };
}

function samplingFields(sampling: SamplingOptions): JsonRecord {
  const allowed = Array.from(tokenIdsFromBytes(sampling.allowedTokenIdsLe));
  return {
    n: sampling.n,
    best_of: sampling.bestOf,
    temperature: sampling.temperature,
    top_p: sampling.topP,
    top_k: sampling.topK,
    min_p: sampling.minP,
    frequency_penalty: sampling.frequencyPenalty,
    presence_penalty: sampling.presencePenalty,
    repetition_penalty: sampling.repetitionPenalty,
    length_penalty: sampling.lengthPenalty,
    // JSON numbers lose the low bits of large seeds; servers take 63 bits.
    seed: sampling.seed === undefined ? undefined : Number(sampling.seed & 0x1f_ffff_ffff_ffffn),
    logit_bias: Object.keys(sampling.logitBias).length === 0 ? undefined : sampling.logitBias,
    allowed_token_ids: allowed.length === 0 ? undefined : allowed,
    bad_words: sampling.badWords.length === 0 ? undefined : sampling.badWords,
    structured_outputs: structuredOutputs(sampling.guidedDecoding),
  };
}

function structuredOutputs(guided: GuidedDecoding | undefined): JsonRecord | undefined {
  if (guided === undefined) return undefined;
  return {
    json: guided.jsonSchema || undefined,
    json_object: guided.jsonObject ? true : undefined,
    regex: guided.regex || undefined,
    choice: guided.choice.length === 0 ? undefined : guided.choice,
    grammar: guided.grammar || undefined,
    whitespace_pattern: guided.whitespacePattern || undefined,
  };
}

function readTokensChoice(choice: JsonRecord): PartialResponse {
  const ids = arrayOf(choice['token_ids']).filter((id) => typeof id === 'number');
  if (ids.length === 0) return {};
  const logprobs = readLogprobs(choice).map(({ token, logprob, top }) => ({
    ...idAndLogprob({ token, logprob }),
    top: top.map(idAndLogprob),
  }));
  return {
    tokenIdsLe: tokenIdsToBytes(Uint32Array.from(ids)),
    ...(logprobs.length === 0 ? {} : { logprobs }),
  };
}

/** With `return_tokens_as_token_ids` a token is called `token_id:123`. */
function idAndLogprob(entry: { readonly token: string; readonly logprob: number }): {
  tokenId: number;
  logprob: number;
  token: string;
} {
  const id = Number(/^token_id:(\d+)$/.exec(entry.token)?.[1] ?? Number.NaN);
  return numberOf(id) !== undefined && Number.isInteger(id)
    ? { tokenId: id, logprob: entry.logprob, token: '' }
    : { tokenId: 0, logprob: entry.logprob, token: entry.token };
}
