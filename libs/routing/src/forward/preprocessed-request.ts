/**
 * Requests and answers in the shape that the reference's Python services exchange (PreprocessedRequest, LLMEngineOutput,
 * RP 5.1), from and to this project's messages. Fields that have no counterpart are left out.
 */
import { DynamoError } from '@dynamo-ts/base';
import {
  FinishReason,
  GenerateRequest,
  RouterConfigOverride as OverrideMessage,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import type { GenerateResponse, GuidedDecoding } from '@dynamo-ts/protocol';

import type { RouterConfigOverride } from '../placement-router.ts';
import { checkedOverrides } from '../service/route-message.ts';

/** A decoded MessagePack map. */
export type Plain = Readonly<Record<string, unknown>>;

/** A map; what is none, for example null, is an empty one. */
export function plainOf(value: unknown): Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? // Checked: a decoded map.
      (value as Plain)
    : {};
}

/** Token ids of a field. @throws `request.invalid` */
export function tokensOf(value: unknown, field: string): Uint32Array {
  if (value instanceof Uint8Array) return tokenIdsFromBytes(value);
  const ids: unknown[] = Array.isArray(value) ? value : [];
  if (!Array.isArray(value) || !ids.every(isTokenId))
    throw new DynamoError('request.invalid', `${field} must be a list of token ids`);
  return Uint32Array.from(ids);
}

/** A string; what is none is empty. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Which blocks a body means, where models of the endpoint have several sizes: the reference has no such fields. */
export function blocksOf(body: Plain): { readonly model: string; readonly blockSize: number } {
  const size = body['block_size'] ?? 0;
  if (!Number.isInteger(size) || Number(size) < 0 || Number(size) > 0xffff_ffff)
    throw new DynamoError('request.invalid', 'block_size must be a number of tokens');
  return { model: textOf(body['model']), blockSize: Number(size) };
}

/** The request. @throws `request.invalid` */
export function generateRequestOf(body: Plain): GenerateRequest {
  const stop = plainOf(body['stop_conditions']);
  const sampling = plainOf(body['sampling_options']);
  const routing = routingOf(body);
  try {
    const request = GenerateRequest.fromJSON({
      model: body['model'] ?? 'unknown',
      stop_conditions: { ...stop, stop: stop['stop'] ?? [] },
      sampling_options: { ...sampling, guided_decoding: guidedOf(sampling['guided_decoding']) },
      output_options: plainOf(body['output_options']),
      annotations: body['annotations'] ?? [],
      ...(routing && { routing }),
    });
    request.tokenIdsLe = idBytes(body['token_ids'], 'token_ids');
    request.eosTokenIdsLe = idBytes(body['eos_token_ids'] ?? [], 'eos_token_ids');
    const stopIds = stop['stop_token_ids_hidden'] ?? stop['stop_token_ids'] ?? [];
    if (request.stopConditions !== undefined)
      request.stopConditions.stopTokenIdsLe = idBytes(stopIds, 'stop_token_ids');
    return request;
  } catch (cause) {
    if (cause instanceof DynamoError) throw cause;
    throw new DynamoError('request.invalid', 'the request is no PreprocessedRequest', { cause });
  }
}

/** Weights of the cost in a body. @throws `request.invalid` */
export function overridesOf(value: unknown): RouterConfigOverride | undefined {
  if (value === undefined || value === null) return undefined;
  const body = plainOf(value);
  const known = Object.keys(OverrideMessage.toJSON(OVERRIDE_SAMPLE) as object);
  const unknown = Object.keys(body).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw new DynamoError('request.invalid', `router_config_override: ${unknown} is unknown`);
  return checkedOverrides(OverrideMessage.fromJSON(body));
}

/** An answer's item. */
export function engineOutputOf(response: GenerateResponse): Plain {
  const { logprobs, usage } = response;
  return {
    token_ids: Array.from(tokenIdsFromBytes(response.tokenIdsLe)),
    text: response.text ?? null,
    log_probs: logprobs.length === 0 ? null : logprobs.map(({ logprob }) => logprob),
    top_logprobs:
      logprobs.length === 0
        ? null
        : logprobs.map(({ top }) =>
            top.map(({ tokenId, token, logprob }, rank) => {
              return { rank, token_id: tokenId, token, logprob };
            }),
          ),
    finish_reason: finishReasonOf(response),
    stop_reason: response.stopReason === '' ? null : response.stopReason,
    index: response.index,
    disaggregated_params:
      response.transferParamsJson === ''
        ? null
        : (JSON.parse(response.transferParamsJson) as unknown),
    completion_usage: usage && {
      prompt_tokens: usage.promptTokens,
      completion_tokens: usage.completionTokens,
      total_tokens: usage.promptTokens + usage.completionTokens,
      prompt_tokens_details: { cached_tokens: usage.cachedTokens ?? null },
    },
  };
}

const OVERRIDE_SAMPLE: OverrideMessage = {
  overlapScoreCredit: 0,
  prefillLoadScale: 0,
  overlapScoreWeight: 0,
  routerTemperature: 0,
  assumeKvReuse: true,
  trackPrefillTokens: true,
  displacementWeight: 0,
};

const FINISH_REASONS: Readonly<Partial<Record<FinishReason, string>>> = {
  [FinishReason.FINISH_REASON_EOS]: 'eos',
  [FinishReason.FINISH_REASON_LENGTH]: 'length',
  [FinishReason.FINISH_REASON_STOP]: 'stop',
  [FinishReason.FINISH_REASON_CANCELLED]: 'cancelled',
  [FinishReason.FINISH_REASON_CONTENT_FILTER]: 'content_filter',
  [FinishReason.FINISH_REASON_TOOL_CALLS]: 'stop',
};

function finishReasonOf({ finishReason, error }: GenerateResponse): unknown {
  if (finishReason === FinishReason.FINISH_REASON_ERROR) return { error };
  return FINISH_REASONS[finishReason] ?? null;
}

/** Older callers send `dp_rank` beside the routing hints. */
function routingOf(body: Plain): Plain | undefined {
  if (typeof body['routing'] === 'object' && body['routing'] !== null) {
    const routing = plainOf(body['routing']);
    return { ...routing, cache_salt: routing['cache_salt'] ?? routing['cache_namespace'] };
  }
  const rank = body['dp_rank'];
  return rank === undefined || rank === null ? undefined : { dp_rank: rank };
}

function guidedOf(value: unknown): Plain | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { json, ...rest } = plainOf(value);
  const schema: Pick<GuidedDecoding, 'jsonSchema'> | undefined =
    json === undefined || json === null
      ? undefined
      : { jsonSchema: typeof json === 'string' ? json : JSON.stringify(json) };
  return { ...rest, choice: rest['choice'] ?? [], json_schema: schema?.jsonSchema };
}

function idBytes(value: unknown, field: string): Buffer {
  return Buffer.from(tokenIdsToBytes(tokensOf(value, field)));
}

function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0xffff_ffff;
}
