import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { ResponseHead } from './chunks.ts';
import { ChoiceChunks, usageChunk } from './chunks.ts';

const CHAT: ResponseHead = { kind: 'chat', id: 'chatcmpl-1', created: 7, model: 'a"b' };
const TEXT: ResponseHead = { kind: 'completion', id: 'cmpl-1', created: 7, model: 'm' };

const read = (frame: string): unknown => {
  expect(frame).toMatch(/^data: .*\n\n$/);
  return JSON.parse(frame.slice('data: '.length));
};

describe('ChoiceChunks', () => {
  it('sends the role with the first chunk of a chat choice and not again', () => {
    const chunks = new ChoiceChunks({ head: CHAT, index: 2 });
    const choice = (delta: unknown) => ({ index: 2, delta, logprobs: null, finish_reason: null });
    const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 7, model: 'a"b' };
    expect(read(chunks.text('Hi'))).toEqual({
      ...head,
      choices: [choice({ role: 'assistant', content: 'Hi' })],
    });
    expect(read(chunks.text('!'))).toEqual({ ...head, choices: [choice({ content: '!' })] });
  });

  it('ends with a finish reason and an empty delta', () => {
    const chunks = new ChoiceChunks({ head: CHAT, index: 0 });
    chunks.text('x');
    expect(read(chunks.chunk({ text: '', finish: 'length' }))).toMatchObject({
      choices: [{ delta: {}, finish_reason: 'length' }],
    });
  });

  it('writes completion chunks with text', () => {
    const chunks = new ChoiceChunks({ head: TEXT, index: 0 });
    expect(read(chunks.text('x'))).toMatchObject({
      object: 'text_completion',
      choices: [{ index: 0, text: 'x', finish_reason: null }],
    });
  });

  it('carries logprobs, extension values, usage and a null usage', () => {
    const chunks = new ChoiceChunks({ head: CHAT, index: 0, nullUsage: true });
    expect(read(chunks.text('x'))).toMatchObject({ usage: null });
    const usage = { promptTokens: 1, completionTokens: 2 };
    expect(
      read(chunks.chunk({ text: 'y', logprobs: { content: [] }, nvext: { a: 1 }, usage })),
    ).toMatchObject({
      choices: [{ logprobs: { content: [] } }],
      nvext: { a: 1 },
      usage: { total_tokens: 3 },
    });
  });

  it('passes a ready-made delta on and adds the role once', () => {
    const chunks = new ChoiceChunks({ head: CHAT, index: 0 });
    const first = chunks.chunk({ text: '', deltaJson: '{"reasoning_content":"hm"}' });
    const second = chunks.chunk({ text: '', deltaJson: '{"content":"a"}' });
    expect(read(first)).toMatchObject({
      choices: [{ delta: { role: 'assistant', reasoning_content: 'hm' } }],
    });
    expect(read(second)).toMatchObject({ choices: [{ delta: { content: 'a' } }] });
    const own = new ChoiceChunks({ head: CHAT, index: 0 });
    expect(
      own.chunk({ text: '', deltaJson: '{"role":"assistant","content":""}' }).match(/role/g),
    ).toHaveLength(1);
  });

  it('gives any text back unchanged', () => {
    const chunks = new ChoiceChunks({ head: TEXT, index: 0 });
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(read(chunks.text(text))).toMatchObject({ choices: [{ text }] });
      }),
    );
  });
});

describe('usageChunk', () => {
  it('has no choices', () => {
    const usage = { promptTokens: 3, completionTokens: 2, cachedTokens: 1 };
    expect(read(usageChunk(CHAT, usage))).toMatchObject({
      choices: [],
      usage: {
        prompt_tokens: 3,
        completion_tokens: 2,
        total_tokens: 5,
        prompt_tokens_details: { cached_tokens: 1 },
      },
    });
  });
});
