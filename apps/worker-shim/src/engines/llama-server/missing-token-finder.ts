/**
 * Recovers token ids that llama-server leaves out of its stream.
 *
 * llama-server sends a frame only when the text so far is whole UTF-8, and the frame names only its last token; ids of
 * the tokens before it that held the first bytes of a character are never sent. The frame's text and the number of
 * tokens are known, so the missing ids are those whose bytes, put before the last token's bytes, give the text. Where
 * several combinations do, the one with the longest first tokens is taken, as a byte-pair merge would.
 */
import { isUtf8 } from 'node:buffer';

/** Settings of a {@link MissingTokenFinder}. */
export interface MissingTokenFinderOptions {
  readonly vocabularySize: number;
  /** The bytes that a token stands for. */
  readonly tokenBytes: (tokenId: number) => Uint8Array;
}

/** Finds the ids of tokens that end in the middle of a character. */
export class MissingTokenFinder {
  readonly #tokenBytes: (tokenId: number) => Uint8Array;
  /** Ids of tokens that are no whole UTF-8 text, by their bytes as Latin-1. */
  readonly #partialTokens = new Map<string, number>();

  constructor(options: MissingTokenFinderOptions) {
    this.#tokenBytes = options.tokenBytes;
    for (let id = 0; id < options.vocabularySize; id++) {
      const bytes = options.tokenBytes(id);
      if (bytes.byteLength > 0 && !isUtf8(bytes)) this.#partialTokens.set(latin1(bytes), id);
    }
  }

  /** The `count` ids before `lastId` that make up `text` together with it; undefined when there are none. */
  find(text: string, lastId: number, count: number): readonly number[] | undefined {
    const whole = latin1(Buffer.from(text));
    const last = latin1(this.#tokenBytes(lastId));
    if (!whole.endsWith(last)) return undefined;
    return this.#split(whole.slice(0, whole.length - last.length), count);
  }

  #split(bytes: string, count: number): readonly number[] | undefined {
    if (count === 0) return bytes === '' ? [] : undefined;
    for (let length = bytes.length - (count - 1); length > 0; length--) {
      const id = this.#partialTokens.get(bytes.slice(0, length));
      const rest = id === undefined ? undefined : this.#split(bytes.slice(length), count - 1);
      if (id !== undefined && rest !== undefined) return [id, ...rest];
    }
    return undefined;
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
