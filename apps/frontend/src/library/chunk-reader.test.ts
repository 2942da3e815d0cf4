import type { ChatChunk, CompletionChunk } from '@dynamo-ts/openai';
import { describe, expect, it } from 'vitest';

import { readChatChoice, readChunks, readCompletionChoice } from './chunk-reader.ts';

const readChat = (...chunks: ChatChunk[]) =>
  Array.fromAsync(readChunks(streamOf(chunks), readChatChoice));

const readCompletion = (...chunks: CompletionChunk[]) =>
  Array.fromAsync(readChunks(streamOf(chunks), readCompletionChoice));

async function* streamOf<Chunk>(chunks: readonly Chunk[]): AsyncGenerator<Chunk> {
  yield* chunks;
}

const chat = (delta: ChatChunk['choices'][0]['delta']): ChatChunk => ({ choices: [{ delta }] });

describe('readChunks', () => {
  it('puts the counts that come after the finish reason on the last step', async () => {
    const steps = await readChat(
      chat({ role: 'assistant', content: '' }),
      chat({ content: 'Hi' }),
      { choices: [{ index: 0, delta: {}, finish_reason: 'length' }] },
      {
        choices: [],
        usage: {
          prompt_tokens: 7,
          completion_tokens: 2,
          prompt_tokens_details: { cached_tokens: 5 },
        },
      },
    );
    expect(steps).toEqual([
      { text: 'Hi' },
      {
        finishReason: 'length',
        usage: { promptTokens: 7, completionTokens: 2, cachedTokens: 5 },
      },
    ]);
  });

  it('takes counts on the chunk of the finish reason, and an end without counts', async () => {
    const usage = { prompt_tokens: 1, completion_tokens: 1 };
    expect(
      await readCompletion({ choices: [{ text: 'a', finish_reason: 'stop' }], usage }),
    ).toMatchObject([{ text: 'a', finishReason: 'stop', usage: { promptTokens: 1 } }]);
    expect(await readCompletion({ choices: [{ text: 'a', finish_reason: 'stop' }] })).toEqual([
      { text: 'a', finishReason: 'stop' },
    ]);
  });

  it('has no end when the engine gives none', async () => {
    expect(await readCompletion({ choices: [{ text: 'a' }] })).toEqual([{ text: 'a' }]);
  });

  it('passes on what is more than text as it is', async () => {
    const delta = { tool_calls: [{ index: 0, function: { name: 'f', arguments: '{}' } }] };
    const [step] = await readChat(chat(delta));
    expect(JSON.parse(Buffer.from(step?.deltaJson ?? []).toString())).toEqual(delta);
  });

  it('reads the log probabilities of both kinds', async () => {
    const top = { token: 'b', logprob: -2 };
    const scored = { token: 'a', logprob: -1, top_logprobs: [top] };
    const logprobs = [
      { tokenId: 0, token: 'a', logprob: -1, top: [{ tokenId: 0, token: 'b', logprob: -2 }] },
    ];
    expect(
      await readChat({
        choices: [{ delta: { content: 'a' }, logprobs: { content: [scored] } }],
      }),
    ).toEqual([{ text: 'a', logprobs }]);
    expect(
      await readCompletion({
        choices: [
          {
            text: 'a',
            logprobs: { tokens: ['a'], token_logprobs: [-1], top_logprobs: [{ b: -2 }] },
          },
        ],
      }),
    ).toEqual([{ text: 'a', logprobs }]);
  });

  it('refuses a choice that was not asked for', async () => {
    await expect(readCompletion({ choices: [{ index: 1, text: 'a' }] })).rejects.toMatchObject({
      code: 'backend.error',
    });
  });
});
