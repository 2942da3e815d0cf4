/** Whole responses, for requests that are not streamed. */
import type { ChoiceFold } from './choice-fold.ts';
import type { ResponseHead } from './chunks.ts';
import type { LogprobFormatter } from './logprobs.ts';
import type { UsageCounts } from './usage.ts';
import { usageBody } from './usage.ts';

/** What a whole response is made of. */
export interface ResponseParts {
  readonly head: ResponseHead;
  readonly choices: readonly ChoiceFold[];
  readonly usage: UsageCounts;
  /** Makes the formatter of one choice; gives none when no logprobs were asked for. */
  readonly logprobs?: ((choice: ChoiceFold) => LogprobFormatter | undefined) | undefined;
  readonly nvext?: unknown;
}

const OBJECT = { chat: 'chat.completion', completion: 'text_completion' } as const;

/** The response as JSON text. */
export function responseJson(parts: ResponseParts): string {
  const { id, created, model, kind } = parts.head;
  return JSON.stringify({
    id,
    object: OBJECT[kind],
    created,
    model,
    choices: parts.choices.map((choice) => choiceBody(parts, choice)),
    usage: usageBody(parts.usage),
    ...(parts.nvext === undefined ? {} : { nvext: parts.nvext }),
  });
}

function choiceBody(parts: ResponseParts, choice: ChoiceFold): Record<string, unknown> {
  const content =
    parts.head.kind === 'chat' ? { message: choice.message() } : { text: choice.text };
  return {
    index: choice.index,
    ...content,
    logprobs: logprobsBody(parts, choice),
    finish_reason: choice.finish ?? 'stop',
  };
}

function logprobsBody(parts: ResponseParts, choice: ChoiceFold): unknown {
  const formatter = parts.logprobs?.(choice);
  if (formatter === undefined) return null;
  return parts.head.kind === 'chat'
    ? { content: formatter.chat(choice.logprobs) }
    : formatter.completion(choice.logprobs);
}
