/**
 * Typed face of the native publisher: a worker's own index of its cache, the ring of its recent events, and the batches
 * that routers get (RP 3.4). One per worker, for all its ranks.
 */
import type { InstanceId } from '@dynamo-ts/base';
import * as native from '@dynamo-ts/native';

import { nativeCall, nativeWork } from './native-call.ts';

/** Settings of a {@link LocalKvIndexer}. */
export interface LocalKvIndexerOptions {
  readonly workerId: InstanceId;
  /** New per start: event ids begin again with it. */
  readonly epoch: bigint;
  readonly blockSize: number;
  /** First data-parallel rank. */
  readonly dpStart: number;
  /** Recent events that are kept for routers that missed some. @default 1024 */
  readonly ringEvents?: number | undefined;
  /** Blocks after which a batch is closed. @default 128 */
  readonly maxBatchBlocks?: number | undefined;
  /** Token that stands for an image in prompts. */
  readonly imageTokenId?: number | undefined;
  /** The engine drafts with EAGLE, whose blocks are hashed over shifted tokens. */
  readonly isEagle?: boolean | undefined;
  readonly indexBudgetBytes?: number | undefined;
}

/** Where a rank keeps a block. */
export type KvTier = 'device' | 'host' | 'disk' | 'external';

/** How a frame stands to those before it. */
export interface AcceptedFrame {
  readonly place: 'first' | 'next' | 'gap' | 'stale' | 'restarted' | 'refused';
  /** First frame that is missing, for a gap. */
  readonly missingFrom?: bigint | undefined;
  /** Why it was refused. */
  readonly error?: string | undefined;
}

/** Counters since the index was made, and sizes. */
export interface LocalKvIndexerStats {
  /** Frames applied. */
  readonly batches: number;
  readonly stored: number;
  readonly removed: number;
  readonly cleared: number;
  readonly unknownTags: number;
  /** Frames and events refused: `refused[i]` of the kind `refusedKinds[i]`. */
  readonly refused: readonly number[];
  readonly refusedKinds: readonly string[];
  /** Events of cache groups that do not decide reuse: stores, removals. */
  readonly filteredGroups: readonly number[];
  /** Events about blocks outside the worker: stores, removals. */
  readonly filteredLocalities: readonly number[];
  readonly wrongBlockSizes: number;
  /** Block size of the events that were refused last because it is not the engine's; 0 when none were. */
  readonly refusedBlockSize: number;
  readonly shortTokens: number;
  readonly repeatedHashes: number;
  /** Removals of one copy among several. */
  readonly removedCopies: number;
  readonly gaps: number;
  readonly lostBatches: number;
  readonly staleBatches: number;
  readonly restarts: number;
  /** Encoded batches thrown away because nobody took them. */
  readonly droppedBatches: number;
  readonly ignoredRanks: number;
  /** (block, rank, tier) holdings. */
  readonly blocks: number;
  readonly bytes: number;
  /** Ranks that have told anything, and the last event id of each. */
  readonly dpRanks: Uint32Array;
  readonly lastEventIds: BigUint64Array;
}

/** The addon's `NativeKvPublisher` in this library's types. */
interface PublisherAddon {
  acceptFrame(source: number, sequence: bigint, payload: Uint8Array): AcceptedFrame;
  skipTo(source: number, next: bigint): bigint;
  acceptMockerRecords(records: Uint8Array): void;
  stored(
    dpRank: number,
    tier: KvTier,
    parent: bigint | undefined,
    blockHashes: BigUint64Array,
    tokensHashes: BigUint64Array,
  ): void;
  removed(dpRank: number, tier: KvTier, blockHashes: BigUint64Array): void;
  clear(dpRank?: number): void;
  beat(): void;
  flush(): Uint8Array | undefined | null;
  query(request: Uint8Array): Promise<Uint8Array[]>;
  stats(): LocalKvIndexerStats;
  close(): void;
}

type Addon = new (options: LocalKvIndexerOptions) => PublisherAddon;

/** A worker's index of its own cache. */
export class LocalKvIndexer implements AsyncDisposable {
  readonly #native: PublisherAddon;

  /** Empty at first. @throws `config.invalid` naming the setting that cannot be */
  constructor(options: LocalKvIndexerOptions) {
    // The generated declarations know no branded ids and take undefined for absent without saying so.
    const { NativeKvPublisher } = native as unknown as { readonly NativeKvPublisher: Addon };
    this.#native = nativeCall(() => new NativeKvPublisher(options));
  }

  /** Takes one frame of an engine's event socket; `source` is the rank whose socket it is. Never throws for bad bytes. */
  acceptFrame(source: number, sequence: bigint, payload: Uint8Array): AcceptedFrame {
    return nativeCall(() => this.#native.acceptFrame(source, sequence, payload));
  }

  /** Gives missing frames up: what the rank held is not known any more. @returns the next frame expected */
  skipTo(source: number, next: bigint): bigint {
    return nativeCall(() => this.#native.skipTo(source, next));
  }

  /** Takes the simulator's event records of one tick. */
  acceptMockerRecords(records: Uint8Array): void {
    nativeCall(() => this.#native.acceptMockerRecords(records));
  }

  /** Consecutive blocks can be reused; `parent` names the block before the first one. */
  stored(
    dpRank: number,
    tier: KvTier,
    blocks: {
      readonly parent?: bigint | undefined;
      readonly blockHashes: BigUint64Array;
      readonly tokensHashes: BigUint64Array;
    },
  ): void {
    const { parent, blockHashes, tokensHashes } = blocks;
    nativeCall(() => this.#native.stored(dpRank, tier, parent, blockHashes, tokensHashes));
  }

  /** Blocks were given up. */
  removed(dpRank: number, tier: KvTier, blockHashes: BigUint64Array): void {
    nativeCall(() => this.#native.removed(dpRank, tier, blockHashes));
  }

  /** The cache of one rank, or of all, was dropped. */
  clear(dpRank?: number): void {
    nativeCall(() => this.#native.clear(dpRank));
  }

  /** Adds an event that changes nothing, so that whoever missed the last one of a quiet worker notices. */
  beat(): void {
    nativeCall(() => this.#native.beat());
  }

  /** An encoded `KvEventBatch` of events since the last one; undefined when there are none. Call until undefined. */
  flush(): Uint8Array | undefined {
    return nativeCall(() => this.#native.flush() ?? undefined);
  }

  /** Answers an encoded `WorkerKvQueryRequest` with encoded `WorkerKvQueryResponse` items. */
  query(request: Uint8Array): Promise<readonly Uint8Array[]> {
    return nativeWork(() => this.#native.query(request));
  }

  /** Counters and sizes. */
  stats(): LocalKvIndexerStats {
    return nativeCall(() => this.#native.stats());
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
