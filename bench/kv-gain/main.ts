/**
 * What routing by cached prefixes gains: the same traffic through this project and through NVIDIA Dynamo, with mock
 * workers whose cache is too small for everything on every worker. Systems run one after another, each with empty
 * caches; rounds alternate between them and medians are compared.
 *
 *   npm run kv-gain -w @dynamo-ts/bench -- --model FOLDER [--dynamo-peer PATH]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { failStart, loadConfig, defineOptions, option } from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';
import { quantile } from '@dynamo-ts/testing';

import { startOurs, startPeer } from '../sides/side.ts';
import type { Side, SideSettings } from '../sides/side.ts';
import { drive } from './client.ts';
import type { GainFigures } from './client.ts';
import { WORKLOADS } from './workload.ts';
import type { Workload } from './workload.ts';

const COMMAND = 'kv-gain';
const BLOCK_SIZE = 64;
const BLOCKS = 512;

const OPTIONS = defineOptions({
  model: option.path({ flag: 'model', env: 'BENCH_MODEL', help: 'Folder with the tokenizer.' }),
  dynamoPeer: option.path({
    flag: 'dynamo-peer',
    env: 'BENCH_DYNAMO_PEER',
    help: 'Command that starts the peer: `frontend PORT …`, `mocker …`.',
  }),
  rounds: option.integer({
    flag: 'rounds',
    env: 'BENCH_ROUNDS',
    min: 1,
    default: 3,
    help: 'Runs of each workload on each system; medians are shown.',
  }),
  workload: option.list({
    flag: 'workload',
    env: 'BENCH_WORKLOADS',
    default: [],
    help: 'shared-prefix, multi-turn or no-sharing; all without it.',
  }),
  mode: option.list({
    flag: 'mode',
    env: 'BENCH_MODES',
    default: ['kv', 'round-robin', 'least-loaded'],
    help: 'Router modes that are compared.',
  }),
  workers: option.integer({
    flag: 'workers',
    env: 'BENCH_WORKERS',
    min: 1,
    default: 4,
    help: 'Mock workers.',
  }),
  concurrency: option.integer({
    flag: 'concurrency',
    env: 'BENCH_CONCURRENCY',
    min: 1,
    default: 16,
    help: 'Clients.',
  }),
  speedupRatio: option.number({
    flag: 'speedup-ratio',
    env: 'BENCH_SPEEDUP_RATIO',
    min: 0,
    default: 1,
    help: 'How much faster than real time the mock workers are.',
  }),
  scale: option.number({
    flag: 'scale',
    env: 'BENCH_SCALE',
    min: 0.01,
    default: 1,
    help: 'Factor on the number of requests.',
  }),
});

type GainConfig = ConfigOf<typeof OPTIONS>;

/** A system in one of its modes. */
interface System {
  readonly name: string;
  start(): Promise<Side>;
}

try {
  const { config, help } = loadConfig(OPTIONS, {
    argv: process.argv.slice(2),
    env: process.env,
    command: COMMAND,
    summary: 'Compares router modes by cached share and time to the first token.',
  });
  if (help === undefined) await compare(config);
  else process.stdout.write(help);
} catch (error) {
  failStart(error, COMMAND);
}

async function compare(config: GainConfig): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), `${COMMAND}-`));
  try {
    const chosen = WORKLOADS.filter(
      ({ name }) => config.workload.length === 0 || config.workload.includes(name),
    );
    for (const workload of chosen) {
      process.stdout.write(`\n${workload.name}: ${workload.what}\n`);
      await compareOn(config, workload, systems(config, folder));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compareOn(
  config: GainConfig,
  workload: Workload,
  compared: readonly System[],
): Promise<void> {
  const runs = new Map<string, GainFigures[]>();
  for (let round = 0; round < config.rounds; round += 1)
    for (const system of compared) {
      await using side = await system.start();
      const figures = await drive(side.url, workload.sessions(config.scale), config);
      runs.set(system.name, [...(runs.get(system.name) ?? []), figures]);
      process.stdout.write(`   round ${round + 1} ${row(system.name, [figures])}\n`);
    }
  process.stdout.write('   medians\n');
  for (const [name, all] of runs) process.stdout.write(`   ${row(name, all)}\n`);
}

function systems(config: GainConfig, folder: string): readonly System[] {
  const { dynamoPeer, model } = config;
  if (model === undefined) throw new Error('--model is needed: a folder with a tokenizer');
  const settings = (routerMode: string): SideSettings => ({
    workers: config.workers,
    speedupRatio: config.speedupRatio,
    blockSize: BLOCK_SIZE,
    blocks: BLOCKS,
    routerMode,
  });
  return config.mode.flatMap((mode) => [
    { name: `ours ${mode}`, start: () => startOurs(settings(mode), model) },
    ...(dynamoPeer === undefined
      ? []
      : [
          {
            name: `dynamo ${mode}`,
            start: () => startPeer(settings(mode), dynamoPeer, model, folder),
          },
        ]),
  ]);
}

function row(name: string, runs: readonly GainFigures[]): string {
  const middle = (pick: (figures: GainFigures) => number): number => quantile(runs.map(pick), 0.5);
  const ttft = (share: number): string =>
    middle(({ ttftMs }) => quantile(ttftMs, share)).toFixed(0);
  const spread = middle(({ maxOverMean }) => maxOverMean ?? Number.NaN);
  return [
    name.padEnd(22),
    `cached ${(middle(({ cachedShare }) => cachedShare) * 100).toFixed(1)} %`,
    `TTFT p50 ${ttft(0.5)} p99 ${ttft(0.99)} ms`,
    `max/mean ${Number.isNaN(spread) ? '–' : spread.toFixed(2)}`,
    `failed ${middle(({ failed }) => failed)}`,
  ].join('  ');
}
