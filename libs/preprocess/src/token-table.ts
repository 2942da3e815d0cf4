/**
 * What every token id of a byte-level vocabulary decodes to, shared by all requests of a model.
 *
 * Nearly all ids are whole UTF-8 text (150,186 of Qwen3's 151,643) and become a string once, on first use; the others
 * are pieces of characters, which only a decoder with state can join.
 */
import { Buffer, isUtf8 } from 'node:buffer';

const SPECIAL = 1;
const KNOWN = 2;

/** The table as the native tokenizer gives it. */
export interface TokenTableOptions {
  /** Bytes of all ids, one after the other. */
  readonly bytes: Uint8Array;
  /** Where each id's bytes begin; one more entry than there are ids. */
  readonly offsets: Uint32Array;
  /** Per id: bit 1 = special token, bit 2 = the id exists. */
  readonly flags: Uint8Array;
}

/** Bytes and texts of token ids. */
export class TokenTable {
  readonly #bytes: Buffer;
  readonly #offsets: Uint32Array;
  readonly #flags: Uint8Array;
  /** Undefined until first asked for; null when the bytes are not whole UTF-8 text. */
  readonly #texts: (string | null | undefined)[];

  constructor(options: TokenTableOptions) {
    const { bytes } = options;
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#offsets = options.offsets;
    this.#flags = options.flags;
    this.#texts = new Array<string | null | undefined>(this.size);
  }

  /** Ids are 0 to `size - 1`. */
  get size(): number {
    return Math.max(0, this.#offsets.length - 1);
  }

  /** Whether the id is a special token, left out of text unless asked for. */
  isSpecial(id: number): boolean {
    return ((this.#flags[id] ?? 0) & SPECIAL) !== 0;
  }

  /** Whether the vocabulary has this id. */
  isKnown(id: number): boolean {
    return ((this.#flags[id] ?? 0) & KNOWN) !== 0;
  }

  /** The id's bytes, empty for an unknown one. Shares memory: do not write. */
  bytesOf(id: number): Buffer {
    const start = this.#offsets[id] ?? 0;
    const end = this.#offsets[id + 1] ?? start;
    return this.#bytes.subarray(start, end);
  }

  /** The id's text when its bytes are whole UTF-8 text; undefined when they are pieces of characters. */
  tryText(id: number): string | undefined {
    const text = this.#texts[id];
    return text === undefined ? this.#resolve(id) : (text ?? undefined);
  }

  #resolve(id: number): string | undefined {
    if (id >= this.size) return '';
    const bytes = this.bytesOf(id);
    const text = isUtf8(bytes) ? bytes.toString('utf8') : null;
    this.#texts[id] = text;
    return text ?? undefined;
  }
}
