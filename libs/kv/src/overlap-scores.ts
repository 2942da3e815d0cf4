import type { InstanceId } from '@dynamo-ts/base';

/** How much of a prompt one rank holds, in blocks; each tier is counted from where the faster one ends. */
export interface RankOverlap {
  readonly workerId: InstanceId;
  readonly dpRank: number;
  readonly device: number;
  readonly host: number;
  readonly disk: number;
  readonly external: number;
}

/** Who holds how much of a prompt. */
export class OverlapScores {
  /** Every rank that holds the first block. */
  readonly ranks: readonly RankOverlap[];

  constructor(ranks: readonly RankOverlap[]) {
    this.ranks = ranks;
  }

  /** Device blocks per worker; of the rank that holds most. */
  get scores(): ReadonlyMap<InstanceId, number> {
    const scores = new Map<InstanceId, number>();
    for (const { workerId, device } of this.ranks)
      scores.set(workerId, Math.max(device, scores.get(workerId) ?? 0));
    return scores;
  }

  /** How many ranks hold the prompt on the device up to each block: `frequencies[0]` for the first block. */
  get frequencies(): readonly number[] {
    const frequencies: number[] = [];
    for (const { device } of this.ranks)
      for (let block = 0; block < device; block++)
        frequencies[block] = (frequencies[block] ?? 0) + 1;
    return frequencies;
  }

  /** Device blocks of one rank; 0 for one that holds none. */
  of(workerId: InstanceId, dpRank = 0): number {
    const rank = this.ranks.find((each) => each.workerId === workerId && each.dpRank === dpRank);
    return rank?.device ?? 0;
  }
}
