/** The token ids that one choice has received, kept so that another worker can continue from them. */

const INITIAL_BYTES = 256;

/** Growing list of ids as little-endian u32: four bytes per token, and no object per token or message. */
export class TokenLog {
  #bytes = new Uint8Array(INITIAL_BYTES);
  #sizeBytes = 0;

  /** Tokens received. */
  get count(): number {
    return this.#sizeBytes >>> 2;
  }

  /** Adds the ids of one message; copies them, so that the message and its network buffer can go. */
  append(idsLe: Uint8Array): void {
    const at = this.#sizeBytes;
    const size = idsLe.byteLength & ~3;
    if (at + size > this.#bytes.byteLength) this.#grow(at + size);
    // Messages of one token are the rule, and for four bytes a loop is faster than `set`.
    if (size === 4) {
      for (let index = 0; index < 4; index += 1) this.#bytes[at + index] = idsLe[index] ?? 0;
    } else {
      this.#bytes.set(size === idsLe.byteLength ? idsLe : idsLe.subarray(0, size), at);
    }
    this.#sizeBytes = at + size;
  }

  /** These ids and then the received ones. */
  after(promptIdsLe: Uint8Array): Uint8Array {
    const joined = new Uint8Array(promptIdsLe.byteLength + this.#sizeBytes);
    joined.set(promptIdsLe);
    joined.set(this.#bytes.subarray(0, this.#sizeBytes), promptIdsLe.byteLength);
    return joined;
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, this.#bytes.byteLength * 2));
    grown.set(this.#bytes.subarray(0, this.#sizeBytes));
    this.#bytes = grown;
  }
}
