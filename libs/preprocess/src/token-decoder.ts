/**
 * Token ids to text, one id at a time, as one answer streams.
 *
 * Guarantee: the texts of all ids plus the flush, joined, are what decoding all ids at once gives. Text never contains
 * half a character: its bytes wait until the character is complete; bytes that can never become one are U+FFFD.
 */
import { Buffer } from 'node:buffer';

import type { TokenTable } from './token-table.ts';

/** Decodes one answer. */
export interface TokenDecoder {
  /** The text that is complete after this id; often '' inside a multi-byte character. */
  next(id: number): string;
  /** What is still incomplete at the end, as U+FFFD. */
  flush(): string;
}

/** Settings of a {@link ByteTableDecoder}. */
export interface ByteTableDecoderOptions {
  readonly table: TokenTable;
  /** Leaves special tokens out. */
  readonly skipSpecialTokens: boolean;
}

const NOTHING = Buffer.alloc(0);

/** {@link TokenDecoder} for byte-level vocabularies: a table look-up, and joining of bytes at the rare piece. */
export class ByteTableDecoder implements TokenDecoder {
  readonly #table: TokenTable;
  readonly #skipSpecialTokens: boolean;
  #pending: Buffer = NOTHING;

  constructor(options: ByteTableDecoderOptions) {
    this.#table = options.table;
    this.#skipSpecialTokens = options.skipSpecialTokens;
  }

  next(id: number): string {
    if (this.#skipSpecialTokens && this.#table.isSpecial(id)) return '';
    if (this.#pending.length === 0) {
      const text = this.#table.tryText(id);
      if (text !== undefined) return text;
    }
    return this.#join(this.#table.bytesOf(id));
  }

  flush(): string {
    const text = this.#pending.toString('utf8');
    this.#pending = NOTHING;
    return text;
  }

  #join(bytes: Buffer): string {
    const joined = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    const complete = joined.length - incompleteTailBytes(joined);
    this.#pending = joined.subarray(complete);
    return joined.toString('utf8', 0, complete);
  }
}

/** The native decoder of one answer. */
export interface NativeTextDecoder {
  push(ids: Uint32Array): string;
  flush(): string;
}

/** {@link TokenDecoder} for vocabularies whose text depends on neighbouring ids (SentencePiece, Unigram, WordPiece). */
export class NativeTokenDecoder implements TokenDecoder {
  readonly #decoder: NativeTextDecoder;
  readonly #id = new Uint32Array(1);

  constructor(decoder: NativeTextDecoder) {
    this.#decoder = decoder;
  }

  next(id: number): string {
    this.#id[0] = id;
    return this.#decoder.push(this.#id);
  }

  flush(): string {
    return this.#decoder.flush();
  }
}

/** {@link TokenDecoder} of engines that send text: ids carry none. */
export const textOnlyDecoder: TokenDecoder = { next: () => '', flush: () => '' };

/** Bytes at the end that are the start of a UTF-8 character and may still become one; 0 to 3. */
export function incompleteTailBytes(bytes: Uint8Array): number {
  const longest = Math.min(3, bytes.length);
  for (let length = 1; length <= longest; length += 1) {
    const byte = bytes[bytes.length - length] ?? 0;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    return isIncompleteCharacter(bytes.subarray(bytes.length - length)) ? length : 0;
  }
  return 0;
}

/** Lead bytes whose second byte has a narrower range than 80..BF (Unicode 3.9, table 3-7). */
const SECOND_BYTE_RANGE: Readonly<Record<number, readonly [number, number]>> = {
  0xe0: [0xa0, 0xbf],
  0xed: [0x80, 0x9f],
  0xf0: [0x90, 0xbf],
  0xf4: [0x80, 0x8f],
};

function isIncompleteCharacter(bytes: Uint8Array): boolean {
  const lead = bytes[0] ?? 0;
  if (lead < 0xc2 || lead > 0xf4) return false;
  const needed = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (bytes.length >= needed) return false;
  const second = bytes[1];
  if (second === undefined) return true;
  const [low, high] = SECOND_BYTE_RANGE[lead] ?? [0x80, 0xbf];
  return second >= low && second <= high;
}
