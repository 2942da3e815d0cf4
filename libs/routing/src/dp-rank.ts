/** `GenerateRequest.routing`, length-delimited. */
const ROUTING_TAG = 0x4a;
/** `RoutingHints.dp_rank`, varint. */
const DP_RANK_TAG = 0x20;

/**
 * An encoded `GenerateRequest` that goes to one data-parallel rank. The field is appended: of a field that is there twice
 * the last one counts, and messages that are there twice are merged, so the request need not be decoded.
 */
export function withDpRank(payload: Uint8Array, dpRank: number): Uint8Array {
  const hints = [DP_RANK_TAG, ...varint(dpRank)];
  const bytes = new Uint8Array(payload.length + 2 + hints.length);
  bytes.set(payload);
  bytes.set([ROUTING_TAG, hints.length, ...hints], payload.length);
  return bytes;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left];
    bytes.push((left % 128) | 128);
  }
}
