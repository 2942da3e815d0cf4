// Time of one route decision through the native boundary: 16,384 token ids in, hashed, matched against 64 workers' caches,
// weighed, booked and recorded.
//
//   node --conditions=@dynamo-ts/source bench/route-decision.mjs [--workers 64] [--tokens 16384] [--decisions 20000]
//
// The fleet is busy: every worker holds 24 prompts of the given length that begin with one of 32 shared prefixes, and has
// 8 requests under way. Every 512 decisions recording goes on or off, so that both see the same machine.
import { parseArgs } from 'node:util';

import { PLACEMENT_DEFAULTS, PlacementCore } from '@dynamo-ts/kv';
import native from '@dynamo-ts/native';
import { WorkerKvQueryRequest } from '@dynamo-ts/protocol';
import { quantile } from '@dynamo-ts/testing';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '64' },
    tokens: { type: 'string', default: '16384' },
    decisions: { type: 'string', default: '20000' },
  },
});
const WORKERS = Number(values.workers);
const TOKENS = Number(values.tokens);
const DECISIONS = Number(values.decisions);
const BLOCK_SIZE = 16;
const PREFIXES = 32;
const PROMPTS_PER_WORKER = 24;
const ACTIVE = WORKERS * 8;

let state = 12_345;
function random(limit) {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return (state >>> 8) % limit;
}

/** A prompt of one of the families, which share a quarter to three quarters of it; `seed` decides the rest. */
function prompt(family, seed) {
  const shared = Math.floor((TOKENS * (1 + (family % 3))) / 4);
  const tokens = new Uint32Array(TOKENS);
  for (let at = 0; at < TOKENS; at += 1) {
    tokens[at] = (at < shared ? family * 7919 + at * 31 : seed * 104_729 + at * 17) % 151_000;
  }
  return tokens;
}

function placement() {
  return new PlacementCore({
    ...PLACEMENT_DEFAULTS,
    blockSize: BLOCK_SIZE,
    endpoint: 'bench.backend.generate',
    routerId: 1n,
    seed: 7n,
  });
}

/** Names for the blocks as an engine would give them: equal for equal beginnings, otherwise opaque. */
function engineHashes(local) {
  let last = 1n;
  return local.map((hash) => (last = BigInt.asUintN(64, (last ^ hash) * 0x9e3779b97f4a7c15n)));
}

/** Fills one worker's part of the index the way a restarted router does: from the worker's own snapshot. */
async function fill(router, workerId) {
  const publisher = new native.NativeKvPublisher({
    workerId,
    epoch: 1n,
    blockSize: BLOCK_SIZE,
    dpStart: 0,
  });
  for (let number = 0; number < PROMPTS_PER_WORKER; number += 1) {
    const tokens = prompt(random(PREFIXES), Number(workerId) * 1000 + number);
    const local = native.blockHashes(tokens, BLOCK_SIZE, '', '');
    publisher.stored(0, 'device', undefined, engineHashes(local), local);
  }
  const query = WorkerKvQueryRequest.encode(
    WorkerKvQueryRequest.fromPartial({ workerId, dpRank: 0 }),
  ).finish();
  await router.finishRecovery(workerId, 0, await publisher.query(query), 1);
  publisher.close();
}

function report(name, times) {
  const figures = [0.5, 0.9, 0.99, 0.999].map((share) => quantile(times, share).toFixed(1));
  console.log(
    `${name.padEnd(22)} p50 ${figures[0]} µs  p90 ${figures[1]} µs  p99 ${figures[2]} µs  p99.9 ${figures[3]} µs`,
  );
  return quantile(times, 0.5);
}

const router = placement();
const workerIds = Array.from({ length: WORKERS }, (_, at) => BigInt(at + 1));
for (const workerId of workerIds) {
  router.setWorker({
    workerId,
    dpStart: 0,
    dpSize: 1,
    totalKvBlocks: PROMPTS_PER_WORKER * (TOKENS / BLOCK_SIZE),
    maxBatchedTokens: 8192,
    kvEvents: true,
    taints: [],
  });
}
router.recoveriesDue(1);
for (const workerId of workerIds) await fill(router, workerId);
const { totals } = router.health(2);
console.log(
  `${WORKERS} workers, ${totals.entries} cached blocks (${totals.blocks} distinct), ` +
    `prompts of ${TOKENS} tokens, block size ${BLOCK_SIZE}`,
);

const active = [];
const prompts = Array.from({ length: 512 }, (_, at) => prompt(random(PREFIXES), 1_000_000 + at));
const times = { recorded: [], unrecorded: [] };
for (let at = 0; at < DECISIONS + ACTIVE; at += 1) {
  const tokenIds = prompts[at % prompts.length];
  // A fresh end of the prompt: nothing is ever asked twice.
  tokenIds.fill(at % 151_000, TOKENS - 64);
  // In turns of all prompts: the same ones with and without recording.
  const record = Math.floor(at / prompts.length) % 2 === 0;
  const request = {
    requestId: `request-${at}`,
    mode: 'kv',
    tokenIds,
    promptTokens: TOKENS,
    nowMs: at,
    unixMs: at,
    book: true,
    record,
  };
  const begin = process.hrtime.bigint();
  router.select(request);
  const took = Number(process.hrtime.bigint() - begin) / 1000;
  if (at >= ACTIVE) (record ? times.recorded : times.unrecorded).push(took);
  active.push(request.requestId);
  if (active.length > ACTIVE) {
    router.free(active.shift(), { kind: 'completed', cachedTokens: undefined });
  }
}
const recorded = report('decision, recorded', times.recorded);
const unrecorded = report('decision, not recorded', times.unrecorded);
console.log(`recording costs ${(100 * (recorded / unrecorded - 1)).toFixed(1)} % of the median`);
console.log(`memory ${(router.memoryBytes() / 1024 / 1024).toFixed(0)} MiB`);
router.close();
