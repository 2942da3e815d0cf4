/** What both sides apply and look up; radix_tree.py makes the same numbers. */

/** Sizes of a run. */
export interface WorkloadSizes {
  /** (block, worker) holdings. */
  readonly blocks: number;
  /** Blocks per prompt. */
  readonly prompt: number;
  /** Blocks per event. */
  readonly event: number;
  /** First blocks of a prompt that it shares with a 64th of the others. */
  readonly shared: number;
  readonly workers: number;
  readonly lookups: number;
}

/** One prompt and the worker it went to. */
export interface Prompt {
  readonly worker: number;
  readonly local: BigUint64Array;
}

/** Names blocks as an engine would. */
export const engineHash = (local: bigint): bigint => local ^ 0x5555n;

const MASK = 0xffff_ffff_ffff_ffffn;

/** Random numbers of 64 bits (splitmix64). */
export function* numbers(seed: bigint): Generator<bigint, never> {
  for (;;) {
    seed = (seed + 0x9e37_79b9_7f4a_7c15n) & MASK;
    let mixed = ((seed ^ (seed >> 30n)) * 0xbf58_476d_1ce4_e5b9n) & MASK;
    mixed = ((mixed ^ (mixed >> 27n)) * 0x94d0_49bb_1331_11ebn) & MASK;
    yield mixed ^ (mixed >> 31n);
  }
}

/** All prompts of a run. */
export function promptsOf(sizes: WorkloadSizes): Prompt[] {
  const random = numbers(42n);
  const take = (count: number): bigint[] =>
    Array.from({ length: count }, () => random.next().value);
  const prefixes = Array.from({ length: 64 }, () => take(sizes.shared));
  return Array.from({ length: Math.floor(sizes.blocks / sizes.prompt) }, () => {
    const prefix = prefixes[Number(random.next().value % 64n)] ?? [];
    const local = BigUint64Array.from([...prefix, ...take(sizes.prompt - sizes.shared)]);
    return { worker: Number(random.next().value % BigInt(sizes.workers)), local };
  });
}
