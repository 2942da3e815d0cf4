import { blockHashes } from '@dynamo-ts/native';

/** What a prompt's blocks depend on besides their tokens. */
export interface BlockHashOptions {
  /** Adapter name; empty means none. */
  readonly loraName?: string | undefined;
  /** Cache namespace (salt): prompts of different namespaces share nothing; empty means none. */
  readonly cacheNamespace?: string | undefined;
}

/**
 * Local hash of every complete block of a prompt: XXH3-64 over the block's token ids as little-endian u32, seeded by
 * adapter and namespace (RP 1.2). A last, incomplete block has none.
 */
export function computeBlockHashForSeq(
  tokenIds: Uint32Array,
  blockSize: number,
  options: BlockHashOptions = {},
): BigUint64Array {
  return blockHashes(tokenIds, blockSize, options.loraName ?? '', options.cacheNamespace ?? '');
}
