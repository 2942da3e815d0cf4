// An engine: answers with the words of the last message in reverse order, one word at a time.
import type { ChatCompletionsEngine } from '@dynamo-ts/frontend';
import { setTimeout as sleep } from 'node:timers/promises';

const WORD_MS = 50;

/** Yields what OpenAI streams: chunks with a delta, the last of which says why the answer ended. */
export const reverser: ChatCompletionsEngine = async function* (request, context) {
  const content = request.messages.at(-1)?.content;
  const words = typeof content === 'string' ? content.trim().split(/\s+/) : [];
  const limit = Math.min(
    words.length,
    request.max_completion_tokens ?? request.max_tokens ?? words.length,
  );
  for (const [index, word] of words.toReversed().slice(0, limit).entries()) {
    // Ends with an error when the client has left.
    await sleep(WORD_MS, undefined, { signal: context.killed });
    yield { choices: [{ delta: { content: index === 0 ? word : ` ${word}` } }] };
  }
  yield {
    choices: [{ delta: {}, finish_reason: limit < words.length ? 'length' : 'stop' }],
    usage: { prompt_tokens: words.length, completion_tokens: limit },
  };
};
