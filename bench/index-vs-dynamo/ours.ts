/** Our side: encoded event batches into the router's placement, and overlap queries on it. Prints one line of JSON. */
import { asInstanceId } from '@dynamo-ts/base';
import { PLACEMENT_DEFAULTS, PlacementCore } from '@dynamo-ts/kv';
import { KvEventBatch } from '@dynamo-ts/protocol';

import { engineHash, numbers, promptsOf } from './workload.ts';
import type { Prompt, WorkloadSizes } from './workload.ts';

const sizes = JSON.parse(process.argv[2] ?? '{}') as WorkloadSizes; // written by main.ts

const prompts = promptsOf(sizes);
const batches = [...batchesOf(prompts)];
const core = placement();
const before = process.memoryUsage.rss();

const apply = measure(() => {
  for (const batch of batches) {
    const { applied } = core.applyEvents(batch, 1);
    if (applied !== 1) throw new Error('an event was not applied');
  }
});
const residentBytes = process.memoryUsage.rss() - before;

const random = numbers(7n);
const asked = Array.from(
  { length: sizes.lookups },
  () =>
    prompts[Number(random.next().value % BigInt(prompts.length))]?.local ?? new BigUint64Array(),
);
let foundBlocks = 0;
const lookup = measure(() => {
  for (const blockHashes of asked) foundBlocks += longest(core.overlap({ blockHashes }).blocks);
});

process.stdout.write(
  `${JSON.stringify({
    applyS: apply.wallS,
    applyCpuS: apply.cpuS,
    lookupS: lookup.wallS,
    lookupCpuS: lookup.cpuS,
    residentBytes,
    foundBlocks,
    indexBytes: core.health(1).totals.bytes,
  })}\n`,
);

function measure(work: () => void): { wallS: number; cpuS: number } {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  work();
  const wallS = Number(process.hrtime.bigint() - start) / 1e9;
  const used = process.cpuUsage(cpu);
  return { wallS, cpuS: (used.user + used.system) / 1e6 };
}

/** Device blocks of the rank that has most; three counts per rank. */
function longest(blocks: Uint32Array): number {
  let most = 0;
  for (let at = 0; at < blocks.length; at += 3) most = Math.max(most, blocks[at] ?? 0);
  return most;
}

/** One event per batch, as the peer takes them; ids are dense per worker. */
function* batchesOf(all: readonly Prompt[]): Generator<Uint8Array> {
  const ids = new Map<number, bigint>();
  for (const { worker, local } of all) {
    let parentHash: bigint | undefined;
    for (let start = 0; start < local.length; start += sizes.event) {
      const tokens = local.slice(start, start + sizes.event);
      const blocks = tokens.map(engineHash);
      const eventId = (ids.get(worker) ?? 0n) + 1n;
      ids.set(worker, eventId);
      yield KvEventBatch.encode(
        KvEventBatch.fromPartial({
          workerId: BigInt(worker + 1),
          epoch: 1n,
          blockSize: 16,
          events: [
            {
              eventId,
              data: {
                $case: 'stored',
                value: {
                  parentHash,
                  blockHashesLe: new Uint8Array(blocks.buffer),
                  tokensHashesLe: new Uint8Array(tokens.buffer),
                },
              },
            },
          ],
        }),
      ).finish();
      parentHash = blocks.at(-1);
    }
  }
}

function placement(): PlacementCore {
  const made = new PlacementCore({
    ...PLACEMENT_DEFAULTS,
    blockSize: 16,
    endpoint: 'bench.worker.generate',
    routerId: asInstanceId(1n),
    seed: 1n,
  });
  for (let worker = 1; worker <= sizes.workers; worker += 1) {
    made.setWorker({
      workerId: asInstanceId(BigInt(worker)),
      dpStart: 0,
      dpSize: 1,
      totalKvBlocks: 0,
      maxBatchedTokens: 0,
      kvEvents: true,
      taints: [],
    });
  }
  return made;
}
