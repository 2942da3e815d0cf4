import { describe, expect, it } from 'vitest';

import { hashesFromBytes, hashesToBytes, tokenIdsFromBytes, tokenIdsToBytes } from './token-ids.ts';

/** The same bytes at every offset of a pooled Buffer and of a plain array. */
function placements(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: 9 }, (_, offset) => {
    const pool = Buffer.concat([Buffer.alloc(offset, 0xff), bytes, Buffer.alloc(3, 0xff)]);
    const view = pool.subarray(offset, offset + bytes.byteLength);
    return [view, new Uint8Array(view.buffer, view.byteOffset, view.byteLength)];
  }).flat();
}

describe('little-endian arrays', () => {
  it('reads token ids at any alignment, from Buffers too', () => {
    const ids = Uint32Array.of(5, 6, 4_000_000_000);
    for (const bytes of placements(tokenIdsToBytes(ids)))
      expect(tokenIdsFromBytes(bytes)).toEqual(ids);
  });

  it('reads hashes at any alignment, from Buffers too', () => {
    const hashes = BigUint64Array.of(1n, 2n ** 63n);
    for (const bytes of placements(hashesToBytes(hashes)))
      expect(hashesFromBytes(bytes)).toEqual(hashes);
  });
});
