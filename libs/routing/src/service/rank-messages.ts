import type { RankLoads, RankOverlaps } from '@dynamo-ts/kv';
import { PotentialLoad, WorkerOverlap } from '@dynamo-ts/protocol';

/** One message per rank. */
export function overlapMessages({ workerIds, dpRanks, blocks }: RankOverlaps): WorkerOverlap[] {
  return Array.from(workerIds, (workerId, at) =>
    WorkerOverlap.create({
      workerId,
      dpRank: dpRanks[at] ?? 0,
      deviceBlocks: blocks[3 * at] ?? 0,
      hostBlocks: blocks[3 * at + 1] ?? 0,
      diskBlocks: blocks[3 * at + 2] ?? 0,
    }),
  );
}

/** One message per rank. */
export function loadMessages(loads: RankLoads): PotentialLoad[] {
  return Array.from(loads.workerIds, (workerId, at) =>
    PotentialLoad.create({
      workerId,
      dpRank: loads.dpRanks[at] ?? 0,
      potentialPrefillTokens: BigInt(Math.round(loads.prefillTokens[at] ?? 0)),
      potentialDecodeBlocks: loads.decodeBlocks[at] ?? 0,
      activeRequests: loads.activeRequests[at] ?? 0,
    }),
  );
}
