/**
 * Encodes the commonest answer, one with a few token ids and nothing else, without a writer: the mocker makes one per
 * request and step. Its bytes equal those of the generated encoder.
 */
import { encodeTokens } from '../response-encoding.ts';

/** Tag of `GenerateResponse.token_ids_le`. */
const TOKEN_IDS_TAG = 10;
/** With more tokens the length takes two bytes. */
const MOST_SHORT_TOKENS = 31;

/** A `GenerateResponse` that carries the token ids from `start` to before `end`. */
export function encodeTokenRange(ids: Uint32Array, start: number, end: number): Uint8Array {
  const count = end - start;
  if (count > MOST_SHORT_TOKENS || count === 0) return encodeTokens(ids.slice(start, end));
  const bytes = new Uint8Array(2 + count * 4);
  bytes[0] = TOKEN_IDS_TAG;
  bytes[1] = count * 4;
  for (let index = start, at = 2; index < end; index += 1, at += 4) {
    const id = ids[index] ?? 0;
    bytes[at] = id;
    bytes[at + 1] = id >>> 8;
    bytes[at + 2] = id >>> 16;
    bytes[at + 3] = id >>> 24;
  }
  return bytes;
}
