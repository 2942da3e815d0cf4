import { describe, expect, it } from 'vitest';

import { parseCompletionRequest } from './completion-request.ts';

const parse = (fields: Record<string, unknown>) =>
  parseCompletionRequest({ model: 'm', ...fields });

describe('parseCompletionRequest', () => {
  it.each([
    ['a', [{ kind: 'text', text: 'a' }]],
    [
      ['a', 'b'],
      [
        { kind: 'text', text: 'a' },
        { kind: 'text', text: 'b' },
      ],
    ],
    [[1, 2], [{ kind: 'tokens', tokenIds: [1, 2] }]],
    [
      [[1], [2, 3]],
      [
        { kind: 'tokens', tokenIds: [1] },
        { kind: 'tokens', tokenIds: [2, 3] },
      ],
    ],
  ])('takes the prompt %j', (prompt, expected) => {
    expect(parse({ prompt }).prompt).toEqual(expected);
  });

  it.each([undefined, 3, [], ['', 1], [[]], [1.5], [-1], [2 ** 32], {}])(
    'refuses the prompt %j',
    (prompt) => {
      expect(() => parse({ prompt })).toThrow(expect.objectContaining({ code: 'request.invalid' }));
    },
  );

  it.each([0, 1])(
    'refuses echo with logprobs %i, because the prompt would have none',
    (logprobs) => {
      expect(() => parse({ prompt: 'a', echo: true, logprobs })).toThrow(
        expect.objectContaining({ code: 'request.invalid', details: { param: 'logprobs' } }),
      );
      expect(parse({ prompt: 'a', echo: false, logprobs }).logprobs).toBe(logprobs);
    },
  );

  it('limits prompts times n', () => {
    const prompt = Array.from({ length: 65 }, () => 'x');
    expect(() => parse({ prompt, n: 2 })).toThrow(/at most 128/);
    expect(parse({ prompt: prompt.slice(1), n: 2 }).prompt).toHaveLength(64);
  });

  it.each([6, -1, true])('refuses logprobs %j', (logprobs) => {
    expect(() => parse({ prompt: 'a', logprobs })).toThrow(/logprobs/);
  });

  it.each([{ prompt_embeds: 'x' }, { suffix: 'x' }, { use_beam_search: true }])(
    'says that %j is not built',
    (fields) => {
      expect(() => parse({ prompt: 'a', ...fields })).toThrow(
        expect.objectContaining({ code: 'runtime.not_implemented' }),
      );
      expect(parse({ prompt: 'a', use_beam_search: false }).prompt).toHaveLength(1);
    },
  );
});
