/**
 * Little-endian u32 and u64 arrays as bytes and back, without making an object per element.
 *
 * The views share memory with the bytes when alignment allows; callers must not write to them.
 */

/** Token ids of a `*_le` field. Shares memory when the bytes are 4-aligned, else copies. */
export function tokenIdsFromBytes(bytes: Uint8Array): Uint32Array {
  const count = bytes.byteLength >>> 2;
  if ((bytes.byteOffset & 3) === 0) return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
  return new Uint32Array(aligned(bytes, count * 4), 0, count);
}

/** Bytes of token ids for a `*_le` field. Shares memory. */
export function tokenIdsToBytes(ids: Uint32Array): Uint8Array {
  return new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
}

/** Block hashes of a `*_hashes_le` field. Shares memory when the bytes are 8-aligned, else copies. */
export function hashesFromBytes(bytes: Uint8Array): BigUint64Array {
  const count = bytes.byteLength >>> 3;
  if ((bytes.byteOffset & 7) === 0)
    return new BigUint64Array(bytes.buffer, bytes.byteOffset, count);
  return new BigUint64Array(aligned(bytes, count * 8), 0, count);
}

/** Bytes of block hashes. Shares memory. */
export function hashesToBytes(hashes: BigUint64Array): Uint8Array {
  return new Uint8Array(hashes.buffer, hashes.byteOffset, hashes.byteLength);
}

/** A copy that begins at 0. Not `bytes.slice`, which on a Buffer is a view of its pool. */
function aligned(bytes: Uint8Array, length: number): ArrayBuffer {
  const copy = new Uint8Array(length);
  copy.set(bytes.subarray(0, length));
  return copy.buffer;
}
