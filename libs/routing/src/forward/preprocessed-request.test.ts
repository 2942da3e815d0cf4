import { FinishReason, GenerateResponse, tokenIdsFromBytes } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import {
  engineOutputOf,
  generateRequestOf,
  overridesOf,
  tokensOf,
} from './preprocessed-request.ts';

describe('a PreprocessedRequest', () => {
  it('becomes a request with all that has a counterpart', () => {
    const request = generateRequestOf({
      model: 'm',
      token_ids: [1, 2, 70_000],
      stop_conditions: { max_tokens: 5, stop: null, stop_token_ids_hidden: [9], ignore_eos: true },
      sampling_options: {
        temperature: 0.5,
        top_k: -1,
        seed: 18_446_744_073_709_551_615n,
        guided_decoding: { json: { type: 'object' }, choice: null },
      },
      output_options: { logprobs: 2, skip_special_tokens: true },
      eos_token_ids: [2],
      annotations: ['x'],
      routing: { backend_instance_id: 7n, dp_rank: 1, cache_namespace: 'tenant', lora_name: 'l' },
      extra_args: { ignored: true },
    });
    expect(request).toMatchObject({
      model: 'm',
      stopConditions: { maxTokens: 5, stop: [], ignoreEos: true },
      samplingOptions: {
        temperature: 0.5,
        topK: -1,
        seed: 18_446_744_073_709_551_615n,
        guidedDecoding: { jsonSchema: '{"type":"object"}', choice: [] },
      },
      outputOptions: { logprobs: 2, skipSpecialTokens: true },
      annotations: ['x'],
      routing: { backendInstanceId: 7n, dpRank: 1, cacheSalt: 'tenant', loraName: 'l' },
    });
    expect([...tokenIdsFromBytes(request.tokenIdsLe)]).toEqual([1, 2, 70_000]);
    expect([...tokenIdsFromBytes(request.eosTokenIdsLe)]).toEqual([2]);
    expect([...tokenIdsFromBytes(request.stopConditions?.stopTokenIdsLe ?? Buffer.of())]).toEqual([
      9,
    ]);
  });

  it('may send its rank beside the routing hints, and need not name a model', () => {
    const request = generateRequestOf({ token_ids: [], dp_rank: 3 });
    expect(request).toMatchObject({ model: 'unknown', routing: { dpRank: 3 } });
  });

  it('is refused when it cannot be', () => {
    const invalid = { code: 'request.invalid' };
    const refused = [
      {},
      { token_ids: 'text' },
      { token_ids: [1.5] },
      { token_ids: [-1] },
      { token_ids: [1], routing: { backend_instance_id: 'seven' } },
    ];
    for (const body of refused)
      expect(() => generateRequestOf(body), JSON.stringify(body)).toThrow(
        expect.objectContaining(invalid),
      );
    expect(() => tokensOf([2 ** 32], 'tokens')).toThrow(/tokens must be a list of token ids/);
  });
});

describe('router_config_override', () => {
  it('takes the weights that there are and no others', () => {
    expect(overridesOf(undefined)).toBeUndefined();
    expect(overridesOf({ router_temperature: 0.5, assume_kv_reuse: false })).toMatchObject({
      routerTemperature: 0.5,
      assumeKvReuse: false,
    });
    expect(() => overridesOf({ weight: 1 })).toThrow(/weight is unknown/);
    expect(() => overridesOf({ router_temperature: -1 })).toThrow(
      /: router_temperature must be a number from 0/,
    );
  });
});

describe('an LLMEngineOutput', () => {
  it('says what the answer says', () => {
    const response = GenerateResponse.fromPartial({
      tokenIdsLe: new Uint8Array(Uint32Array.of(5, 6).buffer),
      finishReason: FinishReason.FINISH_REASON_LENGTH,
      usage: { promptTokens: 10, completionTokens: 2, cachedTokens: 8 },
    });
    expect(engineOutputOf(response)).toMatchObject({
      token_ids: [5, 6],
      text: null,
      log_probs: null,
      finish_reason: 'length',
      stop_reason: null,
      index: 0,
      completion_usage: {
        total_tokens: 12,
        prompt_tokens_details: { cached_tokens: 8 },
      },
    });
    const failed = GenerateResponse.fromPartial({
      finishReason: FinishReason.FINISH_REASON_ERROR,
      error: 'out of memory',
    });
    expect(engineOutputOf(failed)).toMatchObject({ finish_reason: { error: 'out of memory' } });
  });
});
