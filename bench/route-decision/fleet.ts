/**
 * A busy fleet to decide for: every worker holds prompts that begin with one of a few shared prefixes.
 *
 * Snapshots come from real publishers, so that an index is filled the way a restarted router fills it.
 */
import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { LocalKvIndexer, computeBlockHashForSeq } from '@dynamo-ts/kv';
import type { WorkerEntry } from '@dynamo-ts/kv';

/** Size of a {@link BenchFleet}. */
export interface FleetSize {
  readonly workers: number;
  /** Length of every prompt. */
  readonly tokens: number;
}

/** Tokens per block. */
export const BLOCK_SIZE = 16;
/** Requests that each worker has under way. */
export const ACTIVE_PER_WORKER = 8;

const PREFIXES = 32;
const PROMPTS_PER_WORKER = 24;
const VOCABULARY = 151_000;

/** Workers, what they hold, and prompts for them. */
export class BenchFleet implements AsyncDisposable {
  readonly workerIds: readonly InstanceId[];
  readonly #tokens: number;
  readonly #publishers = new Map<InstanceId, LocalKvIndexer>();
  #state = 12_345;

  constructor({ workers, tokens }: FleetSize) {
    this.#tokens = tokens;
    this.workerIds = Array.from({ length: workers }, (_, at) => asInstanceId(BigInt(at + 1)));
    for (const workerId of this.workerIds)
      this.#publishers.set(workerId, this.#publisher(workerId));
  }

  /** What a router is told of each worker. */
  entry(workerId: InstanceId): WorkerEntry {
    return {
      workerId,
      dpStart: 0,
      dpSize: 1,
      totalKvBlocks: PROMPTS_PER_WORKER * (this.#tokens / BLOCK_SIZE),
      maxBatchedTokens: 8192,
      kvEvents: true,
      taints: [],
    };
  }

  /** A worker's answer to an encoded `WorkerKvQueryRequest`. */
  async answer(workerId: InstanceId, query: Uint8Array): Promise<readonly Uint8Array[]> {
    return (await this.#publishers.get(workerId)?.query(query)) ?? [];
  }

  /** Prompts whose beginnings the fleet knows. */
  prompts(count: number): Uint32Array[] {
    return Array.from({ length: count }, (_, at) => this.#prompt(1_000_000 + at));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const publisher of this.#publishers.values()) await publisher.close();
  }

  #publisher(workerId: InstanceId): LocalKvIndexer {
    const publisher = new LocalKvIndexer({
      workerId,
      epoch: 1n,
      blockSize: BLOCK_SIZE,
      dpStart: 0,
    });
    for (let number = 0; number < PROMPTS_PER_WORKER; number += 1) {
      const tokens = this.#prompt(Number(workerId) * 1000 + number);
      const tokensHashes = computeBlockHashForSeq(tokens, BLOCK_SIZE);
      publisher.stored(0, 'device', { blockHashes: engineHashes(tokensHashes), tokensHashes });
    }
    return publisher;
  }

  /** A prompt of one of the families, which share a quarter to three quarters of it; `seed` decides the rest. */
  #prompt(seed: number): Uint32Array {
    const family = this.#random(PREFIXES);
    const shared = Math.floor((this.#tokens * (1 + (family % 3))) / 4);
    const tokens = new Uint32Array(this.#tokens);
    for (let at = 0; at < tokens.length; at += 1) {
      tokens[at] = (at < shared ? family * 7919 + at * 31 : seed * 104_729 + at * 17) % VOCABULARY;
    }
    return tokens;
  }

  #random(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) >>> 0;
    return (this.#state >>> 8) % limit;
  }
}

/** A prompt that nobody asked before: only its beginning is known. */
export function freshen(tokenIds: Uint32Array, at: number): Uint32Array {
  return tokenIds.fill(at % VOCABULARY, tokenIds.length - 64);
}

/** Names for the blocks as an engine would give them: equal for equal beginnings, otherwise opaque. */
function engineHashes(local: BigUint64Array): BigUint64Array {
  let last = 1n;
  return local.map((hash) => (last = BigInt.asUintN(64, (last ^ hash) * 0x9e3779b97f4a7c15n)));
}
