/**
 * Turns a request into a body of llama-server's `POST /completion`. Values that the request leaves out are left to the
 * server's own settings. Stop strings and stop ids are the frontend's business and are not sent: llama-server would hold
 * text back for them, and its frames would no longer match their token ids.
 */
import { DynamoError } from '@dynamo-ts/base';
import { SamplingOptions, tokenIdsFromBytes } from '@dynamo-ts/protocol';
import type { GenerateRequest, GuidedDecoding } from '@dynamo-ts/protocol';

import { refuseUnsupported } from '../unsupported.ts';

/** Its seeds are 32 bits wide; the highest value means "random". */
const SEED_RANGE = 0xffff_ffffn;
/** Its penalties look back this far at most; -1 is the whole context. */
const WHOLE_CONTEXT = -1;

/** The JSON body. @throws `request.invalid` for what llama-server cannot do */
export function llamaServerBody(request: GenerateRequest): string {
  const { samplingOptions: sampling = NO_SAMPLING } = request;
  refuseSampling(sampling);
  refuseRest(request);
  const fields = {
    stream: true,
    return_tokens: true,
    // A salted prompt must not share its cache with others.
    cache_prompt: (request.routing?.cacheSalt ?? '') === '',
    n_predict: request.stopConditions?.maxTokens,
    ignore_eos: ignoresEos(request) || undefined,
    n_probs: probabilities(request.outputOptions?.logprobs),
    n: sampling.n,
    ...samplingFields(sampling),
    ...guidedFields(sampling.guidedDecoding),
  };
  const prompt = tokenIdsFromBytes(request.tokenIdsLe).join(',');
  return `{"prompt":[${prompt}],${JSON.stringify(fields).slice(1)}`;
}

const NO_SAMPLING = SamplingOptions.fromPartial({});

function refuseSampling(sampling: SamplingOptions): void {
  const { bestOf = 1, lengthPenalty = 1, n = 1 } = sampling;
  refuseUnsupported('llama-server', [
    ['best_of', bestOf > n],
    ['length_penalty', lengthPenalty !== 1],
    ['allowed_token_ids', sampling.allowedTokenIdsLe.length > 0],
    ['bad_words', sampling.badWords.length > 0],
    ['guided_regex', (sampling.guidedDecoding?.regex ?? '') !== ''],
  ]);
}

function refuseRest(request: GenerateRequest): void {
  const { outputOptions: output, routing, stopConditions: stop } = request;
  const minTokens = stop?.minTokens ?? 0;
  refuseUnsupported('llama-server', [
    ['min_tokens below max_tokens', minTokens > 0 && !ignoresEos(request)],
    ['thinking-token limit', stop?.maxThinkingTokens !== undefined],
    ['prompt_logprobs', output?.promptLogprobs !== undefined],
    ['LoRA adapters by name', (routing?.loraName ?? '') !== ''],
  ]);
}

/** An answer that must be at least as long as it may be never ends at an end-of-sequence token. */
function ignoresEos({ stopConditions: stop }: GenerateRequest): boolean {
  if (stop === undefined) return false;
  const { ignoreEos, maxTokens, minTokens = 0 } = stop;
  return ignoreEos || (maxTokens !== undefined && minTokens > 0 && minTokens >= maxTokens);
}

/** It reports the chosen token's probability only together with at least one candidate. */
function probabilities(logprobs: number | undefined): number | undefined {
  return logprobs === undefined ? undefined : Math.max(1, logprobs);
}

function samplingFields(sampling: SamplingOptions): Readonly<Record<string, unknown>> {
  const { frequencyPenalty, presencePenalty, repetitionPenalty, topK } = sampling;
  const penalises = [frequencyPenalty, presencePenalty, repetitionPenalty].some(isNumber);
  const bias = Object.entries(sampling.logitBias);
  return {
    temperature: sampling.temperature,
    top_p: sampling.topP,
    top_k: topK === undefined ? undefined : Math.max(0, topK),
    min_p: sampling.minP,
    frequency_penalty: frequencyPenalty,
    presence_penalty: presencePenalty,
    repeat_penalty: repetitionPenalty,
    repeat_last_n: penalises ? WHOLE_CONTEXT : undefined,
    seed: sampling.seed === undefined ? undefined : Number(sampling.seed % SEED_RANGE),
    logit_bias: bias.length === 0 ? undefined : bias.map(([id, value]) => [Number(id), value]),
  };
}

function isNumber(value: number | undefined): value is number {
  return value !== undefined;
}

function guidedFields(guided: GuidedDecoding | undefined): Readonly<Record<string, unknown>> {
  if (guided === undefined) return {};
  if (guided.jsonSchema !== '') return { json_schema: parseSchema(guided.jsonSchema) };
  if (guided.jsonObject) return { json_schema: { type: 'object' } };
  if (guided.choice.length > 0) return { grammar: choiceGrammar(guided.choice) };
  return guided.grammar === '' ? {} : { grammar: guided.grammar };
}

function parseSchema(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    throw new DynamoError('request.invalid', 'the JSON schema of guided_json is no JSON', {
      cause: error,
    });
  }
}

/** A GBNF grammar that allows exactly these answers; its string literals are written like JSON's. */
function choiceGrammar(choices: readonly string[]): string {
  return `root ::= ${choices.map((choice) => JSON.stringify(choice)).join(' | ')}`;
}
