import { describe, expect, it } from 'vitest';

import { ChoiceFold } from './choice-fold.ts';
import type { ResponseHead } from './chunks.ts';
import { LogprobFormatter } from './logprobs.ts';
import { responseJson } from './responses.ts';

const CHAT: ResponseHead = { kind: 'chat', id: 'chatcmpl-1', created: 7, model: 'm' };
const USAGE = { promptTokens: 3, completionTokens: 2 };

const texts = {
  tokenText: (id: number) => String.fromCharCode(id),
  tokenBytes: (id: number) => Uint8Array.of(id),
};
const A = {
  tokenId: 97,
  logprob: -0.5,
  token: '',
  top: [{ tokenId: 98, logprob: -Infinity, token: '' }],
};

describe('responseJson', () => {
  it('joins the text of every choice', () => {
    const fold = new ChoiceFold(0);
    fold.add('Hel');
    fold.add('lo');
    fold.finish = 'length';
    expect(JSON.parse(responseJson({ head: CHAT, choices: [fold], usage: USAGE }))).toEqual({
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 7,
      model: 'm',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello', refusal: null },
          logprobs: null,
          finish_reason: 'length',
        },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    });
  });

  it('merges deltas of engines that write text: content, reasoning and pieces of tool calls', () => {
    const fold = new ChoiceFold(0);
    for (const delta of [
      { role: 'assistant', reasoning_content: 'let me ' },
      { reasoning_content: 'see' },
      {
        tool_calls: [
          { index: 0, id: 'c1', type: 'function', function: { name: 'w', arguments: '{"a"' } },
        ],
      },
      { tool_calls: [{ index: 0, function: { arguments: ':1}' } }] },
    ])
      fold.addDelta(JSON.stringify(delta));
    expect(fold.message()).toEqual({
      role: 'assistant',
      content: null,
      refusal: null,
      reasoning_content: 'let me see',
      tool_calls: [{ id: 'c1', type: 'function', function: { name: 'w', arguments: '{"a":1}' } }],
    });
  });

  it('writes logprobs in the form of each endpoint', () => {
    const fold = new ChoiceFold(0);
    fold.logprobs.push(A, A);
    const logprobs = (asTokenIds: boolean) => () => new LogprobFormatter({ texts, asTokenIds });
    const choice = (head: ResponseHead, asTokenIds = false): unknown =>
      JSON.parse(
        responseJson({ head, choices: [fold], usage: USAGE, logprobs: logprobs(asTokenIds) }),
      );
    const top = { token: 'b', logprob: -9999, bytes: [98] };
    const entry = { token: 'a', logprob: -0.5, bytes: [97], top_logprobs: [top] };
    expect(choice(CHAT)).toMatchObject({ choices: [{ logprobs: { content: [entry, entry] } }] });
    expect(choice({ ...CHAT, kind: 'completion' })).toMatchObject({
      choices: [
        {
          logprobs: {
            tokens: ['a', 'a'],
            token_logprobs: [-0.5, -0.5],
            top_logprobs: [{ b: -9999 }, { b: -9999 }],
            text_offset: [0, 1],
          },
        },
      ],
    });
    expect(choice({ ...CHAT, kind: 'completion' }, true)).toMatchObject({
      choices: [{ logprobs: { tokens: ['token_id:97', 'token_id:97'] } }],
    });
  });
});
