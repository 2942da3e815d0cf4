import { systemClock } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';

import { computeBlockHashForSeq } from './block-hash.ts';
import type { BlockHashOptions } from './block-hash.ts';
import { createIndexAddon, scoresOf } from './index-addon.ts';
import type { IndexAddon } from './index-addon.ts';
import { nativeCall } from './native-call.ts';
import type { OverlapScores } from './overlap-scores.ts';

/** Settings of an {@link ApproxKvIndexer}. */
export interface ApproxKvIndexerOptions {
  /** Tokens per block; the workers' own. */
  readonly blockSize: number;
  /** How long a routed prompt is taken to be held. @default 120,000 */
  readonly ttlMs?: number | undefined;
  /** Blocks over which those routed longest ago go. @default 1,048,576 */
  readonly maxTreeSize?: number | undefined;
  /** Share of `maxTreeSize` that is left then. @default 0.8 */
  readonly pruneTargetRatio?: number | undefined;
  readonly clock?: Clock | undefined;
}

/** Which worker should hold which prompts, guessed from where they were sent; for workers without events (RP 3.3). */
export class ApproxKvIndexer implements AsyncDisposable {
  readonly blockSize: number;
  readonly #clock: Clock;
  readonly #native: IndexAddon;

  constructor({ blockSize, clock = systemClock, ...settings }: ApproxKvIndexerOptions) {
    this.blockSize = blockSize;
    this.#clock = clock;
    this.#native = nativeCall(() => createIndexAddon({ approximate: true, ...settings }));
  }

  /** Who was sent the start of this prompt not long ago. */
  findMatchesForRequest(tokenIds: Uint32Array, options: BlockHashOptions = {}): OverlapScores {
    const hashes = computeBlockHashForSeq(tokenIds, this.blockSize, options);
    return nativeCall(() => {
      this.#native.expire(this.#clock.monotonicMs());
      return scoresOf(this.#native.findMatches(hashes, false));
    });
  }

  /** A prompt was sent to a worker. */
  processRoutingDecisionForRequest(
    tokenIds: Uint32Array,
    workerId: InstanceId,
    { dpRank = 0, ...options }: BlockHashOptions & { readonly dpRank?: number } = {},
  ): void {
    const hashes = computeBlockHashForSeq(tokenIds, this.blockSize, options);
    nativeCall(() =>
      this.#native.recordRouted({ workerId, dpRank }, hashes, this.#clock.monotonicMs()),
    );
  }

  /** Forgets a worker. */
  removeWorker(workerId: InstanceId): void {
    nativeCall(() => this.#native.removeWorker(workerId));
  }

  /** Gives the memory back. Idempotent. */
  close(): Promise<void> {
    this.#native.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
