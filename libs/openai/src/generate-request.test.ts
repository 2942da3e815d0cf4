import { tokenIdsFromBytes } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { parseChatRequest } from './chat-request.ts';
import { parseCompletionRequest } from './completion-request.ts';
import { requestedLogprobs, requestedMaxTokens, toGenerateRequest } from './generate-request.ts';

const CHAT = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };
const chat = (fields: Record<string, unknown>) => parseChatRequest({ ...CHAT, ...fields });

describe('toGenerateRequest', () => {
  it('maps sampling and stopping', () => {
    const message = toGenerateRequest(
      chat({
        temperature: 0.5,
        top_p: 0.9,
        top_k: 7,
        min_p: 0.1,
        repetition_penalty: 1.5,
        logit_bias: { 5: -2 },
        max_completion_tokens: 9,
        max_tokens: 8,
        min_tokens: 2,
        ignore_eos: true,
        stop: ['END'],
        stop_token_ids: [4],
        bad_words: ['no'],
        allowed_token_ids: [1, 2],
        include_stop_str_in_output: true,
      }),
      0,
    );
    expect(message.samplingOptions).toMatchObject({
      n: 1,
      temperature: 0.5,
      topP: 0.9,
      topK: 7,
      minP: 0.1,
      repetitionPenalty: 1.5,
      logitBias: { 5: -2 },
      badWords: ['no'],
      includeStopStrInOutput: true,
    });
    expect(message.stopConditions).toMatchObject({
      maxTokens: 9,
      minTokens: 2,
      ignoreEos: true,
      stop: ['END'],
    });
    expect([
      ...tokenIdsFromBytes(message.stopConditions?.stopTokenIdsLe ?? new Uint8Array()),
    ]).toEqual([4]);
  });

  it('gives every choice a seed of its own', () => {
    const request = chat({ seed: -1, n: 2 });
    expect(toGenerateRequest(request, 0).samplingOptions?.seed).toBe(0xffff_ffff_ffff_ffffn);
    expect(toGenerateRequest(request, 1).samplingOptions?.seed).toBe(0n);
  });

  it('seeds further choices when the client gave no seed, and leaves the first as it is', () => {
    const request = chat({ n: 3 });
    let calls = 0;
    const random = () => (calls += 1) / 4;
    const seeds = [0, 1, 2].map(
      (choice) => toGenerateRequest(request, choice, random).samplingOptions?.seed,
    );
    expect(seeds).toEqual([undefined, 0x2000_0000n, 0x4000_0000n]);
  });

  it('turns response_format and guided fields into guided decoding', () => {
    const schema = { type: 'object' };
    const guided = (fields: Record<string, unknown>) =>
      toGenerateRequest(chat(fields), 0).samplingOptions?.guidedDecoding;
    expect(guided({})).toBeUndefined();
    expect(guided({ response_format: { type: 'text' } })).toBeUndefined();
    expect(guided({ response_format: { type: 'json_object' } })).toMatchObject({
      jsonObject: true,
    });
    expect(
      guided({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }),
    ).toMatchObject({ jsonSchema: JSON.stringify(schema) });
    expect(guided({ guided_json: schema })).toMatchObject({ jsonSchema: JSON.stringify(schema) });
    expect(guided({ guided_choice: ['a'] })).toMatchObject({ choice: ['a'] });
  });

  it('maps routing hints of nvext', () => {
    const message = toGenerateRequest(
      chat({
        cache_salt: 's',
        nvext: {
          backend_instance_id: '18446744073709551615',
          agent_hints: { priority: -3, osl: 10 },
        },
      }),
      0,
    );
    expect(message.routing).toMatchObject({
      backendInstanceId: 0xffff_ffff_ffff_ffffn,
      priority: -3,
      expectedOutputTokens: 10,
      cacheSalt: 's',
    });
  });
});

describe('requested limits', () => {
  it('prefer the newer name of max_tokens', () => {
    expect(requestedMaxTokens(chat({ max_tokens: 1 }))).toBe(1);
    expect(requestedMaxTokens(chat({ max_tokens: 1, max_completion_tokens: 2 }))).toBe(2);
    expect(requestedMaxTokens(chat({}))).toBeUndefined();
  });

  it('read logprobs in both forms', () => {
    expect(requestedLogprobs(chat({}))).toBeUndefined();
    expect(requestedLogprobs(chat({ logprobs: false }))).toBeUndefined();
    expect(requestedLogprobs(chat({ logprobs: true }))).toBe(0);
    expect(requestedLogprobs(chat({ logprobs: true, top_logprobs: 3 }))).toBe(3);
    const completion = parseCompletionRequest({ model: 'm', prompt: 'a', logprobs: 2 });
    expect(requestedLogprobs(completion)).toBe(2);
  });
});
