/** One call of the native core: token ids in, hashed, matched, weighed, booked and, if it is to be, recorded. */
import { asInstanceId } from '@dynamo-ts/base';
import { PLACEMENT_DEFAULTS, PlacementCore } from '@dynamo-ts/kv';
import { WorkerKvQueryRequest } from '@dynamo-ts/protocol';

import { BLOCK_SIZE, freshen } from './fleet.ts';
import type { BenchFleet } from './fleet.ts';
import type { RoundOptions, Times } from './times.ts';
import { inTurns } from './times.ts';

/** Times decisions in µs, with and without a record of them. */
export async function nativeDecisions(fleet: BenchFleet, options: RoundOptions): Promise<Times> {
  await using core = new PlacementCore({
    ...PLACEMENT_DEFAULTS,
    blockSize: BLOCK_SIZE,
    endpoint: 'bench.backend.generate',
    routerId: asInstanceId(1n),
    seed: 7n,
  });
  await fill(core, fleet);
  const active: string[] = [];
  const decide = (tokenIds: Uint32Array, at: number, record: boolean): number => {
    const request = {
      requestId: `request-${at}`,
      mode: 'kv',
      tokenIds: freshen(tokenIds, at),
      promptTokens: tokenIds.length,
      nowMs: at,
      unixMs: at,
      book: true,
      record,
    } as const;
    const begin = process.hrtime.bigint();
    core.select(request);
    const took = process.hrtime.bigint() - begin;
    active.push(request.requestId);
    const oldest = active.length > options.active ? active.shift() : undefined;
    if (oldest !== undefined) core.free(oldest, { kind: 'completed' });
    return Number(took) / 1000;
  };
  return await inTurns(fleet.prompts(options.turn), options, (prompt, at, record) =>
    Promise.resolve(decide(prompt, at, record)),
  );
}

async function fill(core: PlacementCore, fleet: BenchFleet): Promise<void> {
  for (const workerId of fleet.workerIds) core.setWorker(fleet.entry(workerId));
  for (const { workerId, dpRank } of core.recoveriesDue(1)) {
    const query = WorkerKvQueryRequest.fromPartial({ workerId, dpRank });
    const answer = await fleet.answer(workerId, WorkerKvQueryRequest.encode(query).finish());
    await core.finishRecovery(workerId, dpRank, answer, 1);
  }
  const { totals } = core.health(2);
  console.log(`${totals.entries} cached blocks, ${totals.blocks} of them distinct`);
}
