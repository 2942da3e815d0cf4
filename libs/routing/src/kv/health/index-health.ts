import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { PlacementCore } from '@dynamo-ts/kv';
import { IndexRank } from '@dynamo-ts/protocol';

/** The index of one endpoint, per rank and in total. */
export interface IndexReport {
  readonly ranks: readonly IndexRank[];
  readonly blocks: bigint;
  readonly bytes: bigint;
}

/** What the index holds and how far it can be trusted, as peers and people get it, of the workers that count in it. */
export function indexReport(
  core: PlacementCore,
  nowMs: number,
  countsAlike: (workerId: InstanceId) => boolean,
): IndexReport {
  const health = core.health(nowMs);
  const all = Array.from(health.workerIds, (workerId, index) =>
    IndexRank.create({
      workerId,
      dpRank: health.dpRanks[index] ?? 0,
      state: health.states[index] ?? '',
      epoch: health.epochs[index] ?? 0n,
      lastEventId: health.lastEventIds[index] ?? 0n,
      blocks: whole(health.blocks[index]),
      bytes: whole(health.bytes[index]),
      gaps: whole(health.gaps[index]),
      resyncs: whole(health.resyncs[index]),
      stalenessSeconds: (health.stalenessMs[index] ?? 0) / 1000,
      predictedCachedTokens: whole(health.predictedCachedTokens[index]),
      reportedCachedTokens: whole(health.reportedCachedTokens[index]),
    }),
  );
  const ranks = all.filter(({ workerId }) => countsAlike(asInstanceId(workerId)));
  return { ranks, blocks: whole(health.totals.blocks), bytes: whole(health.totals.bytes) };
}

function whole(value = 0): bigint {
  return BigInt(Math.max(0, Math.trunc(value)));
}
