// What a router's event loop pays for KV events through the native boundary, as a share of one core and call by call, while
// it also decides where requests go.
//
//   node --conditions=@dynamo-ts/source bench/kv-events.mjs [--workers 1000] [--rate 20] [--blocks 16] [--seconds 10]
//
// Every worker publishes `rate` batches a second of one event with so many blocks, each batch continuing a prompt of 64
// blocks or beginning a new one; once a worker holds 1,024 blocks, each batch also gives as many up. Batches go in as fast
// as they can: the share is the processor time that they take, of a core at the given rate. After every 20 batches one
// decision about a prompt that a worker holds. Longest times mean something on a quiet machine only.
import { parseArgs } from 'node:util';

import { PLACEMENT_DEFAULTS, PlacementCore } from '@dynamo-ts/kv';
import { KvEventBatch } from '@dynamo-ts/protocol';
import { quantile } from '@dynamo-ts/testing';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '1000' },
    rate: { type: 'string', default: '20' },
    blocks: { type: 'string', default: '16' },
    seconds: { type: 'string', default: '10' },
  },
});
const [WORKERS, RATE, BLOCKS, SECONDS] = ['workers', 'rate', 'blocks', 'seconds'].map((name) =>
  Number(values[name]),
);
const PROMPT = 64;
const HELD = 1024;

const core = new PlacementCore({
  ...PLACEMENT_DEFAULTS,
  blockSize: 16,
  endpoint: 'bench.backend.generate',
  routerId: 1n,
  seed: 7n,
});
for (let workerId = 1n; workerId <= BigInt(WORKERS); workerId += 1n) {
  core.setWorker({
    workerId,
    dpStart: 0,
    dpSize: 1,
    totalKvBlocks: HELD,
    maxBatchedTokens: 8192,
    kvEvents: true,
    taints: [],
  });
}

/** Hashes of blocks by number; as names they must be unique per worker only. */
function hashes(worker, first, factor) {
  const base = BigInt(worker) * 1_000_000_007n + BigInt(first);
  return BigUint64Array.from({ length: BLOCKS }, (_, at) =>
    BigInt.asUintN(64, (base + BigInt(at)) * factor),
  );
}

const bytes = (words) => new Uint8Array(words.buffer);

/** One batch of a worker: its blocks from `step * BLOCKS` on, and those that make room for them. */
function batch(worker, step) {
  const first = step * BLOCKS;
  const blockHashesLe = bytes(hashes(worker, first, 0x9e3779b97f4a7c15n));
  const tokensHashesLe = bytes(hashes(worker, first, 0xbf58476d1ce4e5b9n));
  const parent = hashes(worker, first - 1, 0x9e3779b97f4a7c15n)[0];
  const parentHash = first % PROMPT === 0 ? undefined : parent;
  const stored = { $case: 'stored', value: { parentHash, blockHashesLe, tokensHashesLe } };
  const isFull = first >= HELD;
  const gone = isFull && bytes(hashes(worker, first - HELD, 0x9e3779b97f4a7c15n));
  const removed = isFull ? [{ $case: 'removed', value: { blockHashesLe: gone } }] : [];
  const fullSteps = Math.max(0, step - Math.ceil(HELD / BLOCKS));
  const firstId = step + fullSteps + 1;
  const events = [...removed, stored].map((data, at) => ({ eventId: BigInt(firstId + at), data }));
  return KvEventBatch.encode(
    KvEventBatch.fromPartial({ workerId: BigInt(worker), epoch: 1n, blockSize: 16, events }),
  ).finish();
}

const steps = RATE * SECONDS;
const calls = [];
const decisions = [];
let [cpuUs, applied] = [0, 0];
for (let step = 0; step < steps; step += 1) {
  const batches = Array.from({ length: WORKERS }, (_, at) => batch(at + 1, step));
  const before = process.cpuUsage();
  for (const payload of batches) {
    const begin = process.hrtime.bigint();
    applied += core.applyEvents(payload, step).applied;
    calls.push(Number(process.hrtime.bigint() - begin) / 1000);
  }
  const used = process.cpuUsage(before);
  cpuUs += used.user + used.system;
  for (let worker = 1; worker <= WORKERS; worker += 20) decide(worker, step);
}
report();
await core.close();

function decide(worker, step) {
  const prompt = Math.floor((step * BLOCKS) / PROMPT) * PROMPT;
  const blockHashes = hashes(worker, prompt, 0xbf58476d1ce4e5b9n);
  const begin = process.hrtime.bigint();
  core.select({
    requestId: 'again',
    mode: 'kv',
    blockHashes,
    promptTokens: BLOCKS * 16,
    nowMs: step,
    unixMs: step,
    book: true,
  });
  decisions.push(Number(process.hrtime.bigint() - begin) / 1000);
}

function report() {
  const share = cpuUs / (SECONDS * 1e6);
  const { entries } = core.health(steps).totals;
  console.log(
    `${WORKERS} workers × ${RATE} batches/s × ${BLOCKS} blocks: ${applied} events applied, ${entries} blocks held`,
  );
  console.log(`one core: ${(100 * share).toFixed(1)} % at that rate`);
  for (const [name, times] of Object.entries({ applyEvents: calls, select: decisions })) {
    const figures = [0.5, 0.99, 0.999, 1].map((part) => quantile(times, part).toFixed(1));
    console.log(
      `${name}: p50 ${figures[0]} µs, p99 ${figures[1]} µs, p99.9 ${figures[2]} µs, longest ${figures[3]} µs`,
    );
  }
}
