/** Log probabilities in the two forms that OpenAI's endpoints have (RF 3.16). */
import type { TokenLogprob } from '@dynamo-ts/protocol';

/** Texts of token ids, from the model's vocabulary. */
export interface TokenTexts {
  tokenText(id: number): string;
  tokenBytes(id: number): Uint8Array;
}

/** One token of `choices[].logprobs.content`. */
export interface ChatLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
  readonly top_logprobs: readonly Omit<ChatLogprob, 'top_logprobs'>[];
}

/** `choices[].logprobs` of text completions. */
export interface CompletionLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: number[];
  readonly top_logprobs: Record<string, number>[];
  readonly text_offset: number[];
}

/** Settings of {@link LogprobFormatter}. */
export interface LogprobFormatterOptions {
  readonly texts: TokenTexts;
  /** Prints `token_id:N` in place of texts. */
  readonly asTokenIds: boolean;
}

interface Scored {
  readonly tokenId: number;
  readonly logprob: number;
  readonly token: string;
}

/** JSON has no infinity; engines report impossible tokens with it. */
const LOWEST_LOGPROB = -9999;

/** Formats one choice's log probabilities; it remembers the text offset between chunks. */
export class LogprobFormatter {
  readonly #texts: TokenTexts;
  readonly #asTokenIds: boolean;
  #textOffset = 0;

  constructor(options: LogprobFormatterOptions) {
    this.#texts = options.texts;
    this.#asTokenIds = options.asTokenIds;
  }

  /** Entries of a chat chunk or message. */
  chat(entries: readonly TokenLogprob[]): readonly ChatLogprob[] {
    return entries.map((entry) => ({
      ...this.#scored(entry),
      top_logprobs: entry.top.map((top) => this.#scored(top)),
    }));
  }

  /** Entries of a completion chunk or choice. */
  completion(entries: readonly TokenLogprob[]): CompletionLogprobs {
    return {
      tokens: entries.map((entry) => this.#name(entry)),
      token_logprobs: entries.map((entry) => finite(entry.logprob)),
      top_logprobs: entries.map((entry) =>
        Object.fromEntries(entry.top.map((top) => [this.#name(top), finite(top.logprob)])),
      ),
      text_offset: entries.map((entry) => this.#advance(entry)),
    };
  }

  #scored(entry: Scored): Omit<ChatLogprob, 'top_logprobs'> {
    const bytes =
      entry.token === ''
        ? this.#texts.tokenBytes(entry.tokenId)
        : new TextEncoder().encode(entry.token);
    return { token: this.#name(entry), logprob: finite(entry.logprob), bytes: [...bytes] };
  }

  #advance(entry: Scored): number {
    const offset = this.#textOffset;
    this.#textOffset += this.#text(entry).length;
    return offset;
  }

  #name(entry: Scored): string {
    return this.#asTokenIds ? `token_id:${entry.tokenId}` : this.#text(entry);
  }

  #text(entry: Scored): string {
    return entry.token === '' ? this.#texts.tokenText(entry.tokenId) : entry.token;
  }
}

function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : LOWEST_LOGPROB;
}
