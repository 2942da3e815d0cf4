import { asInstanceId } from '@dynamo-ts/base';
import type { KvTier, RouterEvent } from '@dynamo-ts/kv';
import { hashesFromBytes } from '@dynamo-ts/protocol';
import type { QueryIndexResponse } from '@dynamo-ts/protocol';

/** The content of an index as the events that build it again, parents first; ids count from 1. */
export function routerEventsOf({ ranks }: QueryIndexResponse): readonly RouterEvent[] {
  const runs = ranks.flatMap(({ workerId, dpRank, runs: own }) =>
    own.map((run) => ({ workerId: asInstanceId(workerId), dpRank, ...run })),
  );
  return runs.map(({ workerId, dpRank, tier, parentHash, ...run }, index) => ({
    workerId,
    event: {
      eventId: BigInt(index + 1),
      dpRank,
      tier: tier as KvTier, // written by our own index
      data: {
        kind: 'stored',
        parentHash,
        blockHashes: hashesFromBytes(run.blockHashesLe),
        tokensHashes: hashesFromBytes(run.tokensHashesLe),
      },
    },
  }));
}
