/**
 * Gives an encoded `GenerateRequest` its data-parallel rank without decoding it: the routing hints are appended once more
 * with the rank. Of a message that is there twice some decoders take the last and others merge both; the appended one
 * repeats the first, so both come to the same.
 */

/** Field number of `GenerateRequest.routing`. */
const ROUTING_FIELD = 9;
/** The same as a tag, length-delimited. */
const ROUTING_TAG = 0x4a;
/** `RoutingHints.dp_rank`, varint. */
const DP_RANK_TAG = 0x20;

/** The request for one rank. Bytes that are no message get hints with the rank alone. */
export function withDpRank(payload: Uint8Array, dpRank: number): Uint8Array {
  const hints = routingHints(payload);
  const rank = [DP_RANK_TAG, ...varint(dpRank)];
  const header = [ROUTING_TAG, ...varint(hints.length + rank.length)];
  const bytes = new Uint8Array(payload.length + header.length + hints.length + rank.length);
  bytes.set(payload);
  bytes.set(header, payload.length);
  bytes.set(hints, payload.length + header.length);
  bytes.set(rank, bytes.length - rank.length);
  return bytes;
}

/** Content of the last routing hints; empty when there are none. */
function routingHints(payload: Uint8Array): Uint8Array {
  const reader = new FieldReader(payload);
  let hints = payload.subarray(0, 0);
  for (let field = reader.next(); field !== undefined; field = reader.next())
    if (field.number === ROUTING_FIELD) hints = field.content;
  return hints;
}

/** One field of a message; only length-delimited ones have content. */
interface Field {
  readonly number: number;
  readonly content: Uint8Array;
}

/** Walks over the fields of an encoded message. */
class FieldReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The next field. @returns undefined at the end, and where the bytes are no message */
  next(): Field | undefined {
    if (this.#at >= this.#bytes.length) return undefined;
    const tag = this.#varint();
    const sizeBytes = this.#sizeOf(tag & 7);
    const content = this.#bytes.subarray(this.#at, this.#at + sizeBytes);
    this.#at += sizeBytes;
    return this.#at <= this.#bytes.length ? { number: tag >>> 3, content } : undefined;
  }

  #sizeOf(wireType: number): number {
    switch (wireType) {
      case 0:
        this.#varint();
        return 0;
      case 1:
        return 8;
      case 2:
        return this.#varint();
      case 5:
        return 4;
      default:
        return Infinity;
    }
  }

  #varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left];
    bytes.push((left % 128) | 128);
  }
}
