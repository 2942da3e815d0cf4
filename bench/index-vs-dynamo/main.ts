/**
 * The KV index of this project and NVIDIA Dynamo's RadixTree, each through its binding: encoded events in, matches of
 * whole prompts out. Rounds alternate between the sides, each in a fresh process; medians are compared, and both must
 * find the same blocks.
 *
 *   npm run index-vs-dynamo -w @dynamo-ts/bench -- --dynamo-peer PATH [--blocks 1000000] [--growth]
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { defineOptions, failStart, loadConfig, option } from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';

import type { WorkloadSizes } from './workload.ts';

const COMMAND = 'index-vs-dynamo';

const OPTIONS = defineOptions({
  dynamoPeer: option.path({
    flag: 'dynamo-peer',
    env: 'BENCH_DYNAMO_PEER',
    help: 'Command that runs the peer’s Python: `python FILE …`. Without it only this project is measured.',
  }),
  rounds: option.integer({
    flag: 'rounds',
    env: 'BENCH_ROUNDS',
    min: 1,
    default: 3,
    help: 'Runs of each workload on each side; medians are shown.',
  }),
  blocks: option.integer({
    flag: 'blocks',
    env: 'BENCH_BLOCKS',
    min: 64,
    default: 1_000_000,
    help: 'Blocks held, over all workers.',
  }),
  lookups: option.integer({
    flag: 'lookups',
    env: 'BENCH_LOOKUPS',
    min: 1,
    default: 20_000,
    help: 'Prompts looked up.',
  }),
  growth: option.boolean({
    flag: 'growth',
    env: 'BENCH_GROWTH',
    default: false,
    help: 'Measures this project alone from 10 thousand to 10 million blocks.',
  }),
});

type BenchConfig = ConfigOf<typeof OPTIONS>;

/** What one run of one side prints. */
interface Figures {
  readonly applyS: number;
  readonly applyCpuS: number;
  readonly lookupS: number;
  readonly lookupCpuS: number;
  readonly residentBytes: number;
  readonly foundBlocks: number;
}

const PROMPT = 64;
const SHARED = { unique: 0, 'half shared': PROMPT / 2 };
const run = promisify(execFile);

try {
  const { config, help } = loadConfig(OPTIONS, {
    argv: process.argv.slice(2),
    env: process.env,
    command: COMMAND,
    summary: 'Compares the KV index with NVIDIA Dynamo’s RadixTree.',
  });
  if (help !== undefined) process.stdout.write(help);
  else if (config.growth) await growth(config);
  else await compare(config);
} catch (error) {
  failStart(error, COMMAND);
}

async function compare(values: BenchConfig): Promise<void> {
  const sizes = { blocks: values.blocks, lookups: values.lookups };
  print(['prompts', 'side', 'blocks/s', 'CPU µs/block', 'lookups/s', 'CPU µs/lookup', 'B/block']);
  for (const [name, shared] of Object.entries(SHARED)) {
    const workload = workloadOf({ ...sizes, shared });
    const sides: Record<string, Figures[]> = { ours: [], peer: [] };
    for (let round = 0; round < values.rounds; round += 1) {
      if (values.dynamoPeer !== undefined) {
        sides['peer']?.push(await runPeer(values.dynamoPeer, workload));
      }
      sides['ours']?.push(await runOurs(workload));
    }
    compareFound(Object.values(sides).flat());
    for (const [side, runs] of Object.entries(sides)) {
      if (runs.length > 0) print([name, side, ...cells(medians(runs), workload)]);
    }
  }
}

async function growth({ rounds, lookups }: BenchConfig): Promise<void> {
  print(['blocks', 'prompts', 'blocks/s', 'CPU µs/block', 'lookups/s', 'CPU µs/lookup', 'B/block']);
  for (const blocks of [10_000, 100_000, 1_000_000, 10_000_000]) {
    for (const [name, shared] of Object.entries(SHARED)) {
      const workload = workloadOf({ blocks, lookups, shared });
      const runs: Figures[] = [];
      while (runs.length < rounds) runs.push(await runOurs(workload));
      print([String(blocks), name, ...cells(medians(runs), workload)]);
    }
  }
}

function workloadOf(sizes: Pick<WorkloadSizes, 'blocks' | 'lookups' | 'shared'>): WorkloadSizes {
  return { ...sizes, prompt: PROMPT, event: 16, workers: 64 };
}

async function runOurs(workload: WorkloadSizes): Promise<Figures> {
  const script = fileURLToPath(new URL('ours.ts', import.meta.url));
  const args = ['--conditions=@dynamo-ts/source', '--max-old-space-size=8192', script];
  const { stdout } = await run(process.execPath, [...args, JSON.stringify(workload)]);
  return JSON.parse(stdout) as Figures; // printed by ours.ts
}

async function runPeer(peer: string, workload: WorkloadSizes): Promise<Figures> {
  const script = fileURLToPath(new URL('radix_tree.py', import.meta.url));
  const args = Object.entries(workload).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { stdout } = await run(peer, ['python', script, ...args]);
  return JSON.parse(stdout) as Figures; // printed by radix_tree.py
}

/** A side that finds less is not faster but wrong. */
function compareFound(runs: readonly Figures[]): void {
  const found = new Set(runs.map((figures) => figures.foundBlocks));
  if (found.size > 1) throw new Error(`the sides found different blocks: ${[...found].join(', ')}`);
}

function medians(runs: readonly Figures[]): Figures {
  const median = (pick: (figures: Figures) => number): number =>
    runs.map(pick).toSorted((a, b) => a - b)[Math.floor(runs.length / 2)] ?? Number.NaN;
  return {
    applyS: median((figures) => figures.applyS),
    applyCpuS: median((figures) => figures.applyCpuS),
    lookupS: median((figures) => figures.lookupS),
    lookupCpuS: median((figures) => figures.lookupCpuS),
    residentBytes: median((figures) => figures.residentBytes),
    foundBlocks: median((figures) => figures.foundBlocks),
  };
}

function cells(figures: Figures, { blocks, lookups }: WorkloadSizes): string[] {
  return [
    (blocks / figures.applyS).toFixed(0),
    ((figures.applyCpuS / blocks) * 1e6).toFixed(3),
    (lookups / figures.lookupS).toFixed(0),
    ((figures.lookupCpuS / lookups) * 1e6).toFixed(2),
    (figures.residentBytes / blocks).toFixed(1),
  ];
}

function print(row: readonly string[]): void {
  process.stdout.write(`${row.map((cell) => cell.padStart(13)).join(' ')}\n`);
}
