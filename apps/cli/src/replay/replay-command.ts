/** `dynamo replay`: recorded requests through other policies or other weights. */
import { DynamoError } from '@dynamo-ts/base';
import { loadConfig, option, optionGroup } from '@dynamo-ts/config';
import type { ConfigOf, Environment } from '@dynamo-ts/config';
import { MOCK_ENGINE_DEFAULTS, replayTrace } from '@dynamo-ts/sim';
import type { ReplayResult, ReplaySettings } from '@dynamo-ts/sim';

import { wordsAsFlags } from '../command-words.ts';
import { DecisionReader } from '../decision-reader.ts';
import { pathList } from '../path-list.ts';
import { readDecisionLog } from './decision-log.ts';
import type { DecisionLogContent } from './decision-log.ts';
import { parsePolicy } from './policy.ts';
import type { ReplayPolicy } from './policy.ts';
import type { Fleet } from './fleet-lives.ts';
import { differences, renderReplay } from './render-replay.ts';
import type { ReplayFleet } from './render-replay.ts';
import { summarize, summarizeRecorded } from './replay-summary.ts';

/** Options of `dynamo replay`. */
export const REPLAY_OPTIONS = optionGroup('Replay', {
  logs: pathList({
    flag: 'log',
    help: 'Decision log, written with --router-decision-log, with its full files, or a folder of logs; may also be given as a word.',
  }),
  policies: option.list({
    flag: 'policy',
    help: 'kv, round-robin, random, least-loaded or power-of-two, to compare with the recorded one; kv with other weights as in kv:displacement-weight=2:temperature=0.1.',
  }),
  endpoint: option.string({
    flag: 'endpoint',
    help: 'Endpoint to replay, namespace.component.endpoint, when the log is of several.',
  }),
  blockSize: option.integer({
    flag: 'block-size',
    min: 1,
    help: 'Replay the requests with blocks of so many tokens, when models of the endpoint have blocks of several sizes.',
  }),
  workers: option.integer({
    flag: 'workers',
    aliases: ['num-workers'],
    min: 1,
    max: 1000,
    help: 'Workers of the simulated fleet, all the time; without it those that were recorded, each while it was there.',
  }),
  numGpuBlocks: option.integer({
    flag: 'num-gpu-blocks-override',
    aliases: ['num-gpu-blocks'],
    min: 1,
    help: 'KV cache blocks of each worker; without it as recorded.',
  }),
  maxNumSeqs: option.integer({
    flag: 'max-num-seqs',
    min: 1,
    default: MOCK_ENGINE_DEFAULTS.maxNumSeqs,
    help: 'Most requests in one pass of an engine.',
  }),
  maxNumBatchedTokens: option.integer({
    flag: 'max-num-batched-tokens',
    min: 1,
    default: MOCK_ENGINE_DEFAULTS.maxNumBatchedTokens,
    help: 'Most tokens in one pass of an engine.',
  }),
  speedupRatio: option.number({
    flag: 'speedup-ratio',
    min: 0,
    default: 1,
    help: 'Engines are so many times faster.',
  }),
  arrivalSpeedup: option.number({
    flag: 'arrival-speedup-ratio',
    min: 0.001,
    default: 1,
    help: 'Requests come so many times faster.',
  }),
  concurrency: option.integer({
    flag: 'replay-concurrency',
    min: 1,
    help: 'So many requests at a time, instead of when they came.',
  }),
  outputTokens: option.integer({
    flag: 'output-tokens',
    min: 1,
    default: 64,
    help: 'Length of answers whose length was not recorded.',
  }),
  seed: option.integer({ flag: 'seed', min: 0, default: 0, help: 'Decides every draw.' }),
  json: option.boolean({ flag: 'json', help: 'Print the figures as JSON.' }),
});

type ReplayConfig = ConfigOf<typeof REPLAY_OPTIONS>;

/** Replays a log and prints what came of it. */
export async function runReplay(input: {
  readonly argv: readonly string[];
  readonly env: Environment;
}): Promise<void> {
  const { config, help } = loadConfig(REPLAY_OPTIONS, {
    ...input,
    argv: wordsAsFlags(input.argv, REPLAY_OPTIONS, (word) => `--log=${word}`),
    command: 'dynamo replay',
    words: 'LOG...',
    summary:
      'Sends recorded requests through other routing policies: "dynamo replay LOG --policy least-loaded".',
    asksAbout: { services: [], options: {} },
  });
  if (help !== undefined) {
    process.stdout.write(help);
    return;
  }
  process.stdout.write(await replayText(config));
}

async function replayText(config: ReplayConfig): Promise<string> {
  if (config.logs.length === 0)
    throw new DynamoError(
      'config.invalid',
      'name a decision log, as --router-decision-log writes it: dynamo replay LOG',
    );
  const policies = config.policies.map(parsePolicy);
  const reader = new DecisionReader(config.logs);
  const log = await readDecisionLog({
    reader,
    endpoint: config.endpoint,
    blockSize: config.blockSize,
    policies,
    unknownOutputTokens: config.outputTokens,
  });
  if (reader.complaint !== undefined) process.stderr.write(`${reader.complaint}\n`);
  const fleet = fleetOf(config, log);
  const results = new Map<string, ReplayResult>();
  for (const policy of [recordedPolicy(log), ...policies])
    results.set(
      policy.name,
      await replayTrace(log.trace, {
        ...settingsOf(config, fleet),
        mode: policy.mode,
        cost: { ...log.cost, ...policy.weights },
      }),
    );
  const [first] = results.values();
  const promptTokens = log.trace.promptTokens.reduce((sum, tokens) => sum + tokens, 0);
  const report = {
    log,
    fleet,
    idealShare: (first?.idealCachedTokens ?? 0) / Math.max(1, promptTokens),
    summaries: [
      summarizeRecorded(log),
      ...[...results].map(([name, result]) =>
        summarize(name, { trace: log.trace, result, places: fleet.recorded?.places }),
      ),
    ],
  };
  const warning = differences(log);
  if (warning !== undefined) {
    process.stderr.write(warning);
    process.exitCode = 1;
  }
  if (!config.json) return renderReplay(report);
  const { idealShare, summaries } = report;
  const same = Object.fromEntries(log.same);
  const { recorded: _, ...told } = fleet;
  return `${JSON.stringify({ fleet: told, idealShare, again: log.again, same, summaries }, undefined, 2)}\n`;
}

function recordedPolicy({ mode }: DecisionLogContent): ReplayPolicy {
  return { ...parsePolicy(mode === 'direct' ? 'kv' : mode), name: `${mode}, as recorded` };
}

/** The fleet to simulate, and the recorded one when its workers come and go as they did. */
interface WantedFleet extends ReplayFleet {
  readonly recorded: Fleet | undefined;
}

function fleetOf({ workers, numGpuBlocks }: ReplayConfig, log: DecisionLogContent): WantedFleet {
  const { fleet } = log;
  const recorded = workers === undefined ? fleet : undefined;
  return {
    workers: workers ?? fleet.workers,
    lives: workers ?? fleet.lives.length,
    kvBlocks: numGpuBlocks ?? (fleet.kvBlocks || MOCK_ENGINE_DEFAULTS.numGpuBlocks),
    recorded,
  };
}

/** What is the same for every policy. */
function settingsOf(
  config: ReplayConfig,
  fleet: WantedFleet,
): Omit<ReplaySettings, 'mode' | 'cost'> {
  return {
    engine: {
      numGpuBlocks: fleet.kvBlocks,
      maxNumSeqs: config.maxNumSeqs,
      maxNumBatchedTokens: config.maxNumBatchedTokens,
      speedupRatio: config.speedupRatio,
    },
    workers: fleet.lives,
    lifetimes: fleet.recorded?.lives,
    seed: BigInt(config.seed),
    arrivalSpeedup: config.arrivalSpeedup,
    concurrency: config.concurrency,
  };
}
