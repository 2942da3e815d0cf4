/** What a request's routing takes in all: its prompt is hashed, it is routed, its first token and its end are told. */
import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import { parseEndpointPath } from '@dynamo-ts/protocol';
import { KvRouter } from '@dynamo-ts/routing';
import { Context, DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';

import { BLOCK_SIZE, freshen } from './fleet.ts';
import type { BenchFleet } from './fleet.ts';
import { inTurns } from './times.ts';
import type { RoundOptions, Times } from './times.ts';

const ENDPOINT = 'bench.backend.generate';
const DEFAULT_RING_BYTES = 16 * 1024 * 1024;

/** Times routing in µs, by a router with the default memory of decisions and by one that has none. */
export async function wholeRoutes(fleet: BenchFleet, options: RoundOptions): Promise<Times> {
  const planes = createLocalPlanes();
  await using runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
  await using recording = await openRouter(runtime, fleet, DEFAULT_RING_BYTES);
  await using silent = await openRouter(runtime, fleet, 0);
  const ends = { recording: [] as string[], silent: [] as string[] };
  const times = await inTurns(fleet.prompts(options.turn), options, async (prompt, at, record) => {
    const router = record ? recording : silent;
    const under = record ? ends.recording : ends.silent;
    const tokenIds = freshen(prompt, at);
    const bookingId = `request-${at}`;
    const ending = under.length >= options.active / 2 ? under.shift() : undefined;
    const begin = process.hrtime.bigint();
    await router.route(
      {
        bookingId,
        blockHashes: computeBlockHashForSeq(tokenIds, BLOCK_SIZE),
        blockSize: BLOCK_SIZE,
        promptTokens: tokenIds.length,
        excluded: new Set(),
      },
      new Context(),
    );
    router.prefillDone(bookingId);
    if (ending !== undefined) router.free(ending, { kind: 'completed', ttftMs: 1, itlMs: 1 });
    const took = process.hrtime.bigint() - begin;
    under.push(bookingId);
    return Number(took) / 1000;
  });
  await planes.close();
  return times;
}

async function openRouter(
  runtime: DistributedRuntime,
  fleet: BenchFleet,
  decisionRingBytes: number,
): Promise<KvRouter> {
  const router = await KvRouter.connect({
    runtime,
    path: parseEndpointPath(ENDPOINT),
    blockSize: BLOCK_SIZE,
    logger: nullLogger,
    metrics: new MetricsRegistry(),
    seed: 7n,
    settings: { decisionRingBytes },
  });
  for (const workerId of fleet.workerIds) {
    router.addWorker(fleet.entry(workerId), (query) => fleet.answer(workerId, query));
  }
  await router.ready();
  return router;
}
