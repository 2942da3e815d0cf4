/** Reads OpenAI chunks of an engine into the steps that the frontend's own path takes. */
import { DynamoError } from '@dynamo-ts/base';
import type { EngineFinishReason, EngineOutput } from '@dynamo-ts/models';
import type {
  ChatChunkChoice,
  CompletionChunkChoice,
  EngineChunk,
  EngineChunkChoice,
  EngineUsage,
} from '@dynamo-ts/openai';

/** What a choice carries besides its end. */
type ReadChoice<Choice> = (choice: Choice) => EngineOutput;

/**
 * The steps of one answer. Token counts come after the finish reason, in a chunk of their own, so the last step is held
 * until they are there or the engine has ended.
 *
 * @throws `backend.error` for a choice that was not asked for
 */
export async function* readChunks<Choice extends EngineChunkChoice>(
  chunks: AsyncIterable<EngineChunk<Choice>>,
  readChoice: ReadChoice<Choice>,
): AsyncGenerator<EngineOutput> {
  let last: EngineOutput | undefined;
  let counts: EngineUsage | undefined;
  for await (const { choices, usage } of chunks) {
    counts = usage ?? counts;
    for (const choice of choices) {
      const output = readChoice(checked(choice));
      if (last !== undefined) continue; // after the end
      if (typeof choice.finish_reason !== 'string') {
        if (Object.keys(output).length > 0) yield output;
        continue;
      }
      last = { ...output, finishReason: FINISH_REASONS[choice.finish_reason] };
    }
    if (last !== undefined && counts !== undefined) break;
  }
  if (last !== undefined) yield counts === undefined ? last : { ...last, usage: usageOf(counts) };
}

/** A choice of a chat chunk; what is more than text goes to the client as it is. */
export function readChatChoice({ delta, logprobs }: ChatChunkChoice): EngineOutput {
  const scored = (logprobs?.content ?? []).map((entry) => ({
    tokenId: 0,
    token: entry.token,
    logprob: entry.logprob,
    top: entry.top_logprobs.map(({ token, logprob }) => ({ tokenId: 0, token, logprob })),
  }));
  const { role: _role, content, ...others } = delta;
  const hasMore = Object.values(others).some((value) => value !== null && value !== undefined);
  return {
    ...(hasMore ? { deltaJson: encoder.encode(JSON.stringify(delta)) } : {}),
    ...(typeof content === 'string' && content !== '' ? { text: content } : {}),
    ...(scored.length === 0 ? {} : { logprobs: scored }),
  };
}

/** A choice of a text completion's chunk. */
export function readCompletionChoice({ text, logprobs }: CompletionChunkChoice): EngineOutput {
  const scored = (logprobs?.tokens ?? []).map((token, at) => ({
    tokenId: 0,
    token,
    logprob: logprobs?.token_logprobs?.[at] ?? 0,
    top: Object.entries(logprobs?.top_logprobs?.[at] ?? {}).map(([other, logprob]) => ({
      tokenId: 0,
      token: other,
      logprob,
    })),
  }));
  return {
    ...(text === '' ? {} : { text }),
    ...(scored.length === 0 ? {} : { logprobs: scored }),
  };
}

const encoder = new TextEncoder();

const FINISH_REASONS: Readonly<
  Record<NonNullable<EngineChunkChoice['finish_reason']>, EngineFinishReason>
> = {
  stop: 'stop',
  length: 'length',
  content_filter: 'content_filter',
  tool_calls: 'tool_calls',
  function_call: 'tool_calls',
};

function checked<Choice extends EngineChunkChoice>(choice: Choice): Choice {
  if ((choice.index ?? 0) === 0) return choice;
  throw new DynamoError(
    'backend.error',
    `the engine answered choice ${choice.index} of a request for one`,
  );
}

function usageOf(usage: EngineUsage): NonNullable<EngineOutput['usage']> {
  return {
    promptTokens: usage.prompt_tokens,
    completionTokens: usage.completion_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? undefined,
  };
}
