import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { RankLoads, RankOverlaps } from '@dynamo-ts/kv';
import { PotentialLoad, QueryIndexResponse, WorkerOverlap } from '@dynamo-ts/protocol';
import type { QueryIndexRequest } from '@dynamo-ts/protocol';

import type { EndpointRouter } from './endpoint-router.ts';

/** One message per rank, without those of the workers in `except`. */
export function overlapMessages(
  { workerIds, dpRanks, blocks }: RankOverlaps,
  except: readonly InstanceId[] = [],
): WorkerOverlap[] {
  const all = Array.from(workerIds, (workerId, at) =>
    WorkerOverlap.create({
      workerId,
      dpRank: dpRanks[at] ?? 0,
      deviceBlocks: blocks[3 * at] ?? 0,
      hostBlocks: blocks[3 * at + 1] ?? 0,
      diskBlocks: blocks[3 * at + 2] ?? 0,
    }),
  );
  return without(except, all);
}

/** One message per rank, without those of the workers in `except`. */
export function loadMessages(
  loads: RankLoads,
  except: readonly InstanceId[] = [],
): PotentialLoad[] {
  const all = Array.from(loads.workerIds, (workerId, at) =>
    PotentialLoad.create({
      workerId,
      dpRank: loads.dpRanks[at] ?? 0,
      potentialPrefillTokens: BigInt(Math.round(loads.prefillTokens[at] ?? 0)),
      potentialDecodeBlocks: loads.decodeBlocks[at] ?? 0,
      activeRequests: loads.activeRequests[at] ?? 0,
    }),
  );
  return without(except, all);
}

/** The index of an endpoint's routers as one: each worker is in that of the router which counts in its blocks. */
export async function indexMessage(
  routers: readonly EndpointRouter[],
  { workerId, includeBlocks }: QueryIndexRequest,
): Promise<QueryIndexResponse> {
  const id = workerId === undefined ? undefined : asInstanceId(workerId);
  const parts = await Promise.all(
    routers.map(async (router) => {
      const health = router.indexHealth();
      if (!includeBlocks) return health;
      const counted = new Set(health.ranks.map((rank) => rank.workerId));
      const { ranks } = QueryIndexResponse.decode(await router.readIndex(id));
      return { ...health, ranks: ranks.filter((rank) => counted.has(rank.workerId)) };
    }),
  );
  const sum = (of: 'blocks' | 'bytes'): bigint => parts.reduce((all, each) => all + each[of], 0n);
  const ranks = parts.flatMap((part) => part.ranks);
  return QueryIndexResponse.create({
    ranks: id === undefined ? ranks : ranks.filter((rank) => rank.workerId === id),
    blocks: sum('blocks'),
    bytes: sum('bytes'),
  });
}

function without<T extends { readonly workerId: bigint }>(
  except: readonly InstanceId[],
  messages: T[],
): T[] {
  if (except.length === 0) return messages;
  const left = new Set<bigint>(except);
  return messages.filter(({ workerId }) => !left.has(workerId));
}
