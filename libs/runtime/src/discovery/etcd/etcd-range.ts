/** The key range of all keys that begin with `prefix`: up to the prefix with its last byte increased. */
export function prefixRange(prefix: string): { key: Buffer; range_end: Buffer } {
  const key = Buffer.from(prefix);
  for (let index = key.length - 1; index >= 0; index -= 1) {
    const byte = key[index] ?? 0;
    if (byte === 0xff) continue;
    const end = Buffer.from(key.subarray(0, index + 1));
    end[index] = byte + 1;
    return { key, range_end: end };
  }
  // etcd's way to say "all keys".
  return { key: Buffer.of(0), range_end: Buffer.of(0) };
}
