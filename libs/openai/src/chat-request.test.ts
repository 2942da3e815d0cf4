import { describe, expect, it } from 'vitest';

import { parseChatRequest } from './chat-request.ts';

const CHAT = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };
const chat = (fields: Record<string, unknown>) => parseChatRequest({ ...CHAT, ...fields });

/** Field, value, what the message says. */
const REFUSED: readonly (readonly [Record<string, unknown>, RegExp])[] = [
  [{ model: '' }, /model/],
  [{ model: 3 }, /model/],
  [{ messages: [] }, /at least one message/],
  [{ messages: 'hi' }, /array of messages/],
  [{ messages: [{ role: 'robot', content: '' }] }, /messages\.0\.role/],
  [{ messages: [{ role: 'user' }] }, /messages\.0\.content: content is required/],
  [{ messages: [{ role: 'user', content: 3 }] }, /messages\.0\.content/],
  [
    { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
    /"image_url" is not supported/,
  ],
  [{ messages: [{ role: 'user', content: [{ type: 'text' }] }] }, /string "text"/],
  [{ seed: '5' }, /seed/],
  [{ seed: 'x' }, /seed/],
  [{ seed: '1.5' }, /seed/],
  [{ seed: '99999999999999999999' }, /seed/],
  [{ stop_token_ids: [-1] }, /stop_token_ids/],
  [{ nvext: { token_data: [1, 2.5] } }, /token_data/],
  [{ temperature: 2.1 }, /temperature/],
  [{ temperature: -0.1 }, /temperature/],
  [{ temperature: '1' }, /temperature/],
  [{ top_p: 1.1 }, /top_p/],
  [{ min_p: -1 }, /min_p/],
  [{ top_k: -2 }, /top_k/],
  [{ top_k: 1.5 }, /top_k/],
  [{ frequency_penalty: 3 }, /frequency_penalty/],
  [{ presence_penalty: -3 }, /presence_penalty/],
  [{ repetition_penalty: 0 }, /repetition_penalty/],
  [{ length_penalty: 3 }, /length_penalty/],
  [{ logit_bias: { 5: 101 } }, /logit_bias/],
  [{ logit_bias: { five: 1 } }, /logit_bias/],
  [{ n: 0 }, /^n:/],
  [{ n: 129 }, /^n:/],
  [{ n: 2, temperature: 0 }, /n > 1/],
  [{ best_of: 21 }, /best_of/],
  [{ n: 3, best_of: 2 }, /best_of must be at least n/],
  [{ logprobs: true, top_logprobs: 21 }, /top_logprobs/],
  [{ top_logprobs: 1 }, /needs "logprobs"/],
  [{ stop: '' }, /stop/],
  [{ stop: ['a', ''] }, /stop/],
  [{ stop: Array.from({ length: 33 }, () => 'x') }, /at most 32/],
  [{ max_tokens: 0 }, /max_tokens/],
  [{ max_completion_tokens: 0 }, /max_completion_tokens/],
  [{ min_tokens: -1 }, /min_tokens/],
  [{ stream_options: { include_usage: true } }, /stream_options/],
  [{ metadata: { ['k'.repeat(65)]: 'v' } }, /metadata/],
  [{ metadata: { k: 'v'.repeat(513) } }, /metadata/],
  [
    { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, ''])) },
    /16 pairs/,
  ],
  [{ tools: [{ type: 'function', function: { name: '' } }] }, /function needs a name/],
  [{ tools: [{ type: 'function', function: { name: 'x'.repeat(97) } }] }, /96/],
  [{ response_format: { type: 'xml' } }, /response_format/],
  [{ response_format: { type: 'json_schema' } }, /json_schema/],
  [{ response_format: { type: 'json_schema', json_schema: { name: '', schema: {} } } }, /name/],
  [{ response_format: { type: 'json_schema', json_schema: { name: 'x' } } }, /schema is required/],
  [
    { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: false } } },
    /"false"/,
  ],
  [{ response_format: { type: 'json_object' }, guided_regex: 'a' }, /only one of/],
  [{ guided_regex: 'a', guided_choice: ['b'] }, /only one of/],
  [{ guided_grammar: '('.repeat(501) }, /deeper/],
  [{ reasoning_effort: 'huge' }, /reasoning_effort/],
  [{ service_tier: 'gold' }, /service_tier/],
  [{ user: '' }, /user/],
  [{ nvext: { nonsense: 1 } }, /nonsense/],
  [{ nvext: { backend_instance_id: -1 } }, /nvext/],
  [{ nvext: { agent_context: { session_id: '' } } }, /nvext\.agent_context\.session_id/],
  [{ nvext: { routing_constraints: { required: [] } } }, /routing_constraints\.required/],
  [{ nvext: { routing_constraints: { required_taints: 'a' } } }, /required_taints/],
  [{ router_config_override: { overlap: 1 } }, /router_config_override\.overlap: Unrecognized/],
  [{ router_config_override: { router_temperature: -1 } }, /override\.router_temperature/],
  [{ router_config_override: { overlap_score_credit: '1' } }, /override\.overlap_score_credit/],
  [{ router_config_override: { assume_kv_reuse: 1 } }, /override\.assume_kv_reuse/],
  [{ router_config_override: { shared_cache_multiplier: 1 } }, /shared caches are not supported/],
  [{ router_config_override: [] }, /router_config_override/],
  [{ nvext: { router_config_override: { displacement_weight: -1 } } }, /displacement_weight/],
  [{ add_generation_prompt: true, continue_final_message: true }, /exclude/],
];

describe('parseChatRequest', () => {
  it.each(REFUSED)('refuses %j with a message that names the problem', (fields, message) => {
    expect(() => chat(fields)).toThrow(
      expect.objectContaining({
        code: 'request.invalid',
        message: expect.stringMatching(message) as unknown,
      }),
    );
  });

  it.each([null, 3, 'text', []])('refuses a body that is %j', (body) => {
    expect(() => parseChatRequest(body)).toThrow(/JSON object/);
  });

  it('names every unknown top-level field', () => {
    expect(() => chat({ foo: 1, bar: 2 })).toThrow('Unsupported parameter(s): foo, bar');
    expect(() => chat({ temprature: 1 })).toThrow(
      "Unsupported parameter(s): temprature; did you mean 'temperature'?",
    );
  });

  it('repeats only the first of very many unknown fields', () => {
    const fields = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`field${i}`, 1]));
    expect(() => chat(fields)).toThrow(/field7 and 992 more$/);
  });

  it('takes "__proto__" for a field like any other', () => {
    const body: unknown = JSON.parse('{"__proto__":{"model":"m","messages":[]}}');
    expect(() => parseChatRequest(body)).toThrow('Unsupported parameter(s): __proto__');
    expect(() => parseChatRequest(body, { ignoreUnsupported: true })).toThrow(/model/);
  });

  it('folds seeds of 64 bits, each to its own', () => {
    const seeds = ['9223372036854775807', '9223372036854775806', '-9223372036854775808'].map(
      (seed) => chat({ seed }).seed,
    );
    expect(new Set(seeds).size).toBe(3);
    expect(seeds.every(Number.isSafeInteger)).toBe(true);
    expect(chat({ seed: -7 }).seed).toBe(-7);
  });

  it('lets unknown fields pass when told to', () => {
    const request = parseChatRequest({ ...CHAT, foo: 1 }, { ignoreUnsupported: true });
    expect(request).not.toHaveProperty('foo');
  });

  it.each(['functions', 'function_call'])('says that %s is not built', (field) => {
    expect(() => chat({ [field]: [] })).toThrow(
      expect.objectContaining({ code: 'runtime.not_implemented' }),
    );
  });

  it('takes null for unset', () => {
    expect(
      chat({ temperature: null, stop: null, nvext: { top_k: null } }).temperature,
    ).toBeUndefined();
  });

  it('takes stops as a string, strings, or token ids', () => {
    expect(chat({ stop: 'a' }).stop).toEqual({ strings: ['a'], tokenIds: [] });
    expect(chat({ stop: ['a', 'b'] }).stop).toEqual({ strings: ['a', 'b'], tokenIds: [] });
    expect(chat({ stop: [1, 2] }).stop).toEqual({ strings: [], tokenIds: [1, 2] });
  });

  it('prefers the top level over nvext and fills what is missing from it', () => {
    expect(chat({ top_k: 5, nvext: { top_k: 9, ignore_eos: true } })).toMatchObject({
      top_k: 5,
      ignore_eos: true,
    });
  });

  it('takes overrides of the router at either place', () => {
    const overrides = { router_temperature: 0.5, assume_kv_reuse: false };
    expect(chat({ router_config_override: overrides }).router_config_override).toEqual(overrides);
    expect(chat({ nvext: { router_config_override: overrides } }).router_config_override).toEqual(
      overrides,
    );
  });

  it('samples greedily when nvext says so', () => {
    expect(chat({ temperature: 1, nvext: { greed_sampling: true } })).toMatchObject({
      temperature: 0,
      top_k: 1,
    });
  });

  it('accepts assistant turns without content and tool results', () => {
    const messages = [
      { role: 'user', content: [{ type: 'text', text: 'weather?' }] },
      {
        role: 'assistant',
        tool_calls: [{ id: '1', type: 'function', function: { name: 'w', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: '1', content: 'sunny' },
    ];
    expect(chat({ messages }).messages).toHaveLength(3);
  });

  it('checks every message, however many there are, up to a limit', () => {
    const plain = { role: 'user', content: 'x' };
    const conversation = (length: number, odd: object = plain): object => ({
      model: 'm',
      messages: Array.from({ length }, (_, index) => (index === length - 2 ? odd : plain)),
    });
    expect(parseChatRequest(conversation(32_768)).messages).toHaveLength(32_768);
    expect(() => parseChatRequest(conversation(32_769))).toThrow(
      'messages: at most 32768 messages are allowed, got 32769',
    );
    for (const [odd, message] of [
      [{ role: 'robot', content: 'x' }, /^messages\.998\.role: expected one of/],
      [{ role: 'user', content: 5 }, /^messages\.998\.content: /],
      [{ role: 'user' }, /^messages\.998\.content: content is required/],
      [{ role: 'user', content: 'x', name: 5 }, /^messages\.998\.name: /],
      [
        { role: 'assistant', content: '', tool_calls: [{ function: {} }] },
        /^messages\.998\.tool_calls\.0/,
      ],
      [[], /^messages\.998/],
    ] as const) {
      expect(() => parseChatRequest(conversation(1000, odd))).toThrow(message);
    }
  });
});
