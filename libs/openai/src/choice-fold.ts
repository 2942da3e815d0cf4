/** Folds the stream of one choice into the message of a response that is not streamed (RF 3.8). */
import type { TokenLogprob } from '@dynamo-ts/protocol';

import type { ChoiceFinish } from './chunks.ts';

/** A tool call as its pieces arrive. */
interface ToolCall {
  index?: number;
  function?: { name?: string; arguments?: string };
  [field: string]: unknown;
}

type Delta = Readonly<Record<string, unknown>>;

/** Collects what one choice produced. */
export class ChoiceFold {
  readonly index: number;
  readonly logprobs: TokenLogprob[] = [];
  finish: ChoiceFinish | undefined;
  readonly #texts: string[] = [];
  readonly #extras = new Map<string, string>();
  readonly #toolCalls: ToolCall[] = [];

  constructor(index: number) {
    this.index = index;
  }

  /** All text so far. */
  get text(): string {
    return this.#texts.join('');
  }

  /** Adds text. */
  add(text: string): void {
    if (text !== '') this.#texts.push(text);
  }

  /** Adds a chat `delta` given as JSON by an engine whose output is text. */
  addDelta(deltaJson: string): void {
    const delta = JSON.parse(deltaJson) as Delta; // our own shim wrote it
    for (const [field, value] of Object.entries(delta)) {
      if (field === 'content' && typeof value === 'string') this.add(value);
      else if (field === 'tool_calls' && Array.isArray(value)) this.#mergeToolCalls(value);
      else if (typeof value === 'string' && field !== 'role') this.#append(field, value);
    }
  }

  /** The chat message. Content is null when there are only tool calls. */
  message(): Record<string, unknown> {
    const hasToolCalls = this.#toolCalls.length > 0;
    return {
      role: 'assistant',
      content: hasToolCalls && this.#texts.length === 0 ? null : this.text,
      refusal: null,
      ...Object.fromEntries(this.#extras),
      ...(hasToolCalls ? { tool_calls: this.#toolCalls.filter((call) => 'function' in call) } : {}),
    };
  }

  #append(field: string, text: string): void {
    this.#extras.set(field, (this.#extras.get(field) ?? '') + text);
  }

  #mergeToolCalls(pieces: readonly ToolCall[]): void {
    for (const piece of pieces) {
      const { index = this.#toolCalls.length, ...fields } = piece;
      const call = (this.#toolCalls[index] ??= {});
      const before = call.function?.arguments ?? '';
      const called = { ...call.function, ...fields.function };
      Object.assign(call, fields);
      call.function = { ...called, arguments: before + (fields.function?.arguments ?? '') };
    }
  }
}
