/**
 * Compares this project's frontend with that of NVIDIA Dynamo on the same mock workers: processor time per token and
 * per request, and latencies. Both run on this machine at the same time; rounds alternate, and medians are compared,
 * so that a noisy machine disturbs both.
 *
 *   node --conditions=@dynamo-ts/source bench/frontend-vs-dynamo/main.ts --dynamo-peer PATH --sse-load PATH
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { DynamoError } from '@dynamo-ts/base';
import { failStart, loadConfig } from '@dynamo-ts/config';

import { BENCH_OPTIONS } from './options.ts';
import type { BenchConfig } from './options.ts';
import { renderTable } from './report.ts';
import type { ScenarioRuns } from './report.ts';
import { SCENARIOS } from './scenario.ts';
import type { Scenario } from './scenario.ts';
import { startOurs, startPeer } from '../sides/side.ts';
import type { Side } from '../sides/side.ts';
import { drive, loadGenerator } from './sse-load.ts';
import type { Figures } from './sse-load.ts';

const COMMAND = 'frontend-vs-dynamo';

try {
  const { config, help } = loadConfig(BENCH_OPTIONS, {
    argv: process.argv.slice(2),
    env: process.env,
    command: COMMAND,
    summary: 'Compares the frontend with that of NVIDIA Dynamo on the same mock workers.',
  });
  if (help === undefined) await compare(config);
  else process.stdout.write(help);
} catch (error) {
  failStart(error, COMMAND);
}

async function compare(config: BenchConfig): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'frontend-vs-dynamo-'));
  try {
    const binary = await loadGenerator(required(config.sseLoad, '--sse-load'), folder);
    const model = await modelFolder(config, folder);
    const results: ScenarioRuns[] = [];
    const load = { config, binary, start: () => startSides(config, model, folder) };
    const chosen = chosenScenarios(config);
    for (const scenario of chosen.filter(({ fresh }) => fresh === true))
      results.push(await runScenario(load, scenario));
    const warm = chosen.filter(({ fresh }) => fresh !== true);
    if (warm.length > 0) {
      await using sides = await load.start();
      for (const scenario of warm) results.push(await runScenario(load, scenario, sides.all));
    }
    process.stdout.write(`\n${renderTable(results)}\n`);
    if (config.out !== undefined) writeFileSync(config.out, JSON.stringify(results, undefined, 2));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Systems under load that run at the same time. */
interface RunningSides extends AsyncDisposable {
  readonly all: readonly Side[];
}

/** What rounds are run with. */
interface Load {
  readonly config: BenchConfig;
  /** The load generator. */
  readonly binary: string;
  readonly start: () => Promise<RunningSides>;
}

async function startSides(
  config: BenchConfig,
  model: string,
  folder: string,
): Promise<RunningSides> {
  await using stack = new AsyncDisposableStack();
  const all: Side[] = [];
  const peer = { ...config, routerMode: config.peerRouterMode ?? config.routerMode };
  if (config.dynamoPeer !== undefined)
    all.push(stack.use(await startPeer(peer, config.dynamoPeer, model, folder)));
  all.push(stack.use(await startOurs(config, model)));
  const owned = stack.move();
  return { all, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Rounds on given sides, or each on sides of its own. */
async function runScenario(
  load: Load,
  scenario: Scenario,
  sides?: readonly Side[],
): Promise<ScenarioRuns> {
  const runs: Record<Side['name'], Figures[]> = { peer: [], ours: [] };
  for (let round = 0; round < load.config.rounds; round += 1) {
    if (sides !== undefined) {
      await runRound({ ...load, scenario, runs }, round, sides);
      continue;
    }
    await using own = await load.start();
    await runRound({ ...load, scenario, runs }, round, own.all);
  }
  return { scenario, runs };
}

/** Each side goes first in every other round. */
async function runRound(
  { config, binary, scenario, runs }: Load & ScenarioRounds,
  round: number,
  sides: readonly Side[],
): Promise<void> {
  for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
    const options = { seed: round + 1, scale: config.scale };
    const figures = await drive(binary, side, scenario, options);
    runs[side.name].push(figures);
    process.stderr.write(
      `${scenario.name} round ${round + 1} ${side.name}: CPU ${figures.cpu.toFixed(2)} per ${scenario.per}, ${figures.tokensPerSecond.toFixed(0)} tokens/s, TTFT p50 ${figures.ttftP50Ms.toFixed(1)} ms\n`,
    );
  }
}

interface ScenarioRounds {
  readonly scenario: Scenario;
  readonly runs: Readonly<Record<Side['name'], Figures[]>>;
}

async function modelFolder(config: BenchConfig, folder: string): Promise<string> {
  if (config.model !== undefined) return config.model;
  const peer = required(config.dynamoPeer, '--model or --dynamo-peer');
  const model = join(folder, 'model');
  await promisify(execFile)(peer, ['tokenizer', model]);
  return model;
}

function chosenScenarios(config: BenchConfig): readonly Scenario[] {
  const unknown = config.scenarios.find((name) => !SCENARIOS.some((each) => each.name === name));
  if (unknown !== undefined) {
    const known = SCENARIOS.map(({ name }) => name).join(', ');
    throw new DynamoError('config.invalid', `unknown scenario "${unknown}"; known are ${known}`);
  }
  if (config.scenarios.length === 0) return SCENARIOS;
  return SCENARIOS.filter(({ name }) => config.scenarios.includes(name));
}

function required(value: string | undefined, flag: string): string {
  if (value !== undefined) return value;
  throw new DynamoError('config.invalid', `${flag} is needed; see --help`);
}
