import type { AbortOptions } from '@dynamo-ts/base';
import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import type { BlockHashOptions, OverlapScores, RouterEvent } from '@dynamo-ts/kv';

import { KvPushRouter } from './kv-push-router.ts';
import type { KvPushRouterOptions } from './kv-push-router.ts';

/** A `KvIndexer` that is filled by the workers of an endpoint: follows their events, restores what it missed. */
export class ComponentKvIndexer implements AsyncDisposable {
  readonly blockSize: number;
  readonly #router: KvPushRouter;

  private constructor(router: KvPushRouter) {
    this.blockSize = router.blockSize;
    this.#router = router;
  }

  /** Begins to follow; see {@link ready}. */
  static async follow(options: Omit<KvPushRouterOptions, 'settings'>): Promise<ComponentKvIndexer> {
    const settings = { decisionRingBytes: 0 };
    return new ComponentKvIndexer(await KvPushRouter.connect({ ...options, settings }));
  }

  /** Resolves when the caches of the workers that there are are known. */
  async ready(options: AbortOptions = {}): Promise<void> {
    await this.#router.ready(options);
  }

  /** Who holds how much of a prompt. */
  findMatchesForRequest(tokenIds: Uint32Array, options: BlockHashOptions = {}): OverlapScores {
    return this.#router.getOverlapScores(tokenIds, options);
  }

  /** Local hashes of a prompt's blocks, as this index has them. */
  blockHashes(tokenIds: Uint32Array, options: BlockHashOptions = {}): BigUint64Array {
    return computeBlockHashForSeq(tokenIds, this.blockSize, options);
  }

  /** Events that would build the index again, parents first. */
  dumpEvents(): Promise<readonly RouterEvent[]> {
    return this.#router.dumpEvents();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#router.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
