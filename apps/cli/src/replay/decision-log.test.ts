/** Logs that a real placement core wrote. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { asInstanceId } from '@dynamo-ts/base';
import { PLACEMENT_DEFAULTS, PlacementCore } from '@dynamo-ts/kv';
import { Decision } from '@dynamo-ts/protocol';
import { replayTrace } from '@dynamo-ts/sim';
import type { ReplayResult } from '@dynamo-ts/sim';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { DecisionReader } from '../decision-reader.ts';
import type { DecisionQuery } from '../explain/decision-query.ts';
import { readDecisions } from '../explain/log-lookup.ts';
import { readDecisionLog } from './decision-log.ts';
import type { DecisionLogContent } from './decision-log.ts';
import { parsePolicy } from './policy.ts';
import { differences, renderReplay } from './render-replay.ts';
import { summarize, summarizeRecorded } from './replay-summary.ts';

const OPTIONS = { endpoint: undefined, policies: [], unknownOutputTokens: 64 };

const readLog = async (...paths: readonly string[]): Promise<DecisionLogContent> =>
  readDecisionLog({ ...OPTIONS, reader: new DecisionReader(paths) });
const BLOCK_SIZE = 16;
const REQUESTS = 60;
/** All of them by position. */
const WHOLE = { first: 0, last: REQUESTS - 1 };
const COST = {
  ...PLACEMENT_DEFAULTS.cost,
  decodeActiveRequestWeight: 0,
  displacementWeight: 1,
  temperature: 0.3,
};

let directory = '';
let file = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dynamo-replay-test-'));
  file = join(directory, 'decisions.ndjson');
  await writeFile(file, await recordedLines());
});

afterAll(async () => rm(directory, { recursive: true, force: true }));

/**
 * A router places requests over two prefixes on four workers and hears what came of them. With `restarts`, the workers come
 * back under another id so many times.
 */
async function recordedLines(restarts = 0): Promise<string> {
  await using core = new PlacementCore({
    ...PLACEMENT_DEFAULTS,
    blockSize: BLOCK_SIZE,
    endpoint: 'dynamo.backend.generate',
    routerId: asInstanceId(7n),
    useKvEvents: false,
    cost: COST,
    seed: 3n,
  });
  const facts = { dpStart: 0, dpSize: 1, totalKvBlocks: 128, maxBatchedTokens: 8192, taints: [] };
  const start = (first: bigint): void => {
    for (let id = first; id < first + 4n; id += 1n)
      core.setWorker({ workerId: asInstanceId(id), ...facts, kvEvents: false });
  };
  let first = 1n;
  start(first);
  for (let number = 0; number < REQUESTS; number += 1) {
    if (number > 0 && number % Math.ceil(REQUESTS / (restarts + 1)) === 0) {
      for (let id = first; id < first + 4n; id += 1n) core.removeWorker(asInstanceId(id));
      start((first += 4n));
    }
    const prefix = (number * number) % 3; // 0 or 1
    const hashes = Array.from({ length: 20 }, (_, block) => BigInt(prefix * 100 + block + 1));
    const requestId = `r${number}`;
    const nowMs = number * 25;
    core.select({
      requestId,
      mode: 'kv',
      blockHashes: BigUint64Array.from(hashes),
      promptTokens: 20 * BLOCK_SIZE + 7,
      nowMs,
      unixMs: 1_700_000_000_000 + nowMs,
      book: true,
      record: true,
    });
    core.prefillDone(requestId, nowMs);
    core.free(requestId, { kind: 'completed', cachedTokens: 64, outputTokens: 5, ttftMs: 20 });
  }
  return (await core.drainDecisions(REQUESTS)).lines;
}

const read = async (...policies: readonly string[]): Promise<DecisionLogContent> =>
  readDecisionLog({
    ...OPTIONS,
    reader: new DecisionReader([file]),
    policies: policies.map(parsePolicy),
  });

const replayed = async (log: DecisionLogContent, seed = 1n): Promise<ReplayResult> =>
  replayTrace(log.trace, {
    engine: { numGpuBlocks: log.fleet.kvBlocks },
    workers: log.fleet.lives.length,
    lifetimes: log.fleet.lives,
    mode: 'kv',
    cost: log.cost,
    seed,
  });

describe('a decision log', () => {
  it('gives requests, fleet and outcomes', async () => {
    const log = await read();
    expect(log).toMatchObject({
      endpoint: 'dynamo.backend.generate',
      mode: 'kv',
      fleet: { workers: 4, kvBlocks: 128, lives: Array.from({ length: 4 }, () => WHOLE) },
      cost: COST,
      recorded: { cachedTokens: 64 * REQUESTS, promptTokens: 327 * REQUESTS },
    });
    expect(log.trace.arrivalMs[2]).toBe(50);
    expect(new Set(log.trace.outputTokens)).toEqual(new Set([5]));
    expect(log.trace.blockHashes).toHaveLength(20 * REQUESTS);
  });

  it('whose choices are made again gives every one of them, bit by bit', async () => {
    const { again, same } = await read('kv:temperature=0', 'kv', 'random');
    expect(again).toEqual({ made: REQUESTS, identical: REQUESTS });
    expect(same.get('kv')).toBe(REQUESTS);
    expect(same.get('kv:temperature=0')).toBeLessThan(REQUESTS);
    expect(same.has('random')).toBe(false);
  });

  it('is warned about when a choice comes out otherwise', async () => {
    expect(differences(await read())).toBeUndefined();
    const path = join(directory, 'changed.ndjson');
    const [first = '', ...rest] = (await readFile(file, 'utf8')).split('\n');
    const changed = { ...(JSON.parse(first) as object), chosen: 99 };
    await writeFile(path, [JSON.stringify(changed), ...rest].join('\n'));
    const log = await readLog(path);
    expect(log.again).toEqual({ made: REQUESTS, identical: REQUESTS - 1 });
    expect(differences(log)).toContain(`1 of ${REQUESTS} choices come out otherwise`);
  });

  it('begins with its full files', async () => {
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const path = join(directory, 'rotated.ndjson');
    await writeFile(`${path}.2`, `${lines[0]}\n`);
    await writeFile(`${path}.1`, `${lines[1]}\n${lines[2]}\n`);
    await writeFile(path, `${lines[3]}\n`);
    const log = await readLog(path);
    expect([...log.trace.arrivalMs]).toEqual([0, 25, 50, 75]);
    const idOf = (line = ''): string => Decision.fromJSON(JSON.parse(line)).decisionId;
    const foundIds = async (query: DecisionQuery): Promise<readonly string[]> =>
      (await readDecisions(new DecisionReader([path]), query)).decisions.map(
        ({ decisionId }) => decisionId,
      );
    const first = idOf(lines[0]);
    expect(await foundIds({ kind: 'ids', ids: [first] })).toEqual([first]);
    expect(await foundIds({ kind: 'last' })).toEqual([idOf(lines[3])]);
  });

  it('is replayed with the same choices for the same seed', async () => {
    const log = await read();
    const first = await replayed(log);
    expect(first.workers).toEqual((await replayed(log)).workers);
    expect(first.workers).not.toEqual((await replayed(log, 2n)).workers);
    expect(first.outputTokens.every((tokens) => tokens === 5)).toBe(true);
    expect(first.idealCachedTokens).toBe((REQUESTS - 2) * 320);
  });

  it('of a fleet that restarted is replayed by as many workers at a time as there were', async () => {
    const path = join(directory, 'restarted.ndjson');
    // As files of several processes are read: not in the order of the choices.
    const lines = (await recordedLines(2)).trimEnd().split('\n');
    await writeFile(path, `${lines.toReversed().join('\n')}\n`);
    const log = await readLog(path);
    const { lives, workers, places, requests } = log.fleet;
    expect(log.again).toEqual({ made: REQUESTS, identical: REQUESTS });
    expect([lives.length, workers]).toEqual([12, 4]);
    const spans = lives.map(({ first, last }) => `${first}-${last}`).toSorted();
    expect(new Set(spans)).toEqual(new Set(['0-19', '20-39', '40-59']));
    expect(places.toSorted()).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    expect(requests.reduce((sum, each) => sum + each, 0)).toBe(REQUESTS);
    const result = await replayed(log);
    expect(result.workers).toEqual((await replayed(log)).workers);
    for (const [position, worker] of result.workers.entries()) {
      const life = lives[worker] ?? { first: 0, last: -1 };
      expect(position >= life.first && position <= life.last).toBe(true);
    }
    const fleet = { workers, lives: lives.length, kvBlocks: 128 };
    const summaries = [summarize('kv', { trace: log.trace, result, places })];
    expect(renderReplay({ log, fleet, idealShare: 0.5, summaries })).toContain(
      '4 workers at a time (12 in all, as they came and went) of 128 blocks',
    );
    // Twelve workers of which four are busy at a time would look three times as uneven.
    const apart = summarize('kv', { trace: log.trace, result }).spread.requests;
    expect(summaries[0]?.spread.requests).toBeLessThan(apart);
  });

  it('becomes a table', async () => {
    const log = await read('kv');
    const result = await replayed(log);
    const text = renderReplay({
      log,
      fleet: { workers: 4, lives: 4, kvBlocks: 128 },
      idealShare: 0.5,
      summaries: [
        summarizeRecorded(log),
        summarize('kv, as recorded', { trace: log.trace, result }),
      ],
    });
    expect(text).toContain('60 requests of dynamo.backend.generate over 1.5 s');
    expect(text).toContain('60 of 60 bit-identical');
    expect(text).toMatch(/^recorded +19\.6 % +20\.0 /m);
    expect(text).toMatch(/^kv, as recorded +\d+\.\d % /m);
  });

  it('is replayed without the lines that are none, and says which', async () => {
    const path = join(directory, 'torn.ndjson');
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n').slice(0, 5);
    const torn = lines[1]?.slice(0, 200);
    const foreign = '{"level":30,"msg":"hello"}';
    await writeFile(path, [lines[0], torn, lines[2], foreign, lines[3], lines[4], '{'].join('\n'));
    const reader = new DecisionReader([path]);
    const log = await readDecisionLog({ ...OPTIONS, reader });
    expect(log.again).toEqual({ made: 4, identical: 4 });
    expect(reader.complaint).toMatch(/^3 of 7 lines unreadable, first at .*torn\.ndjson:2: /);
  });

  it('leaves workers of other models out of its fleet', async () => {
    const path = join(directory, 'models.ndjson');
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const others = lines.map((line) => {
      const decision = JSON.parse(line) as { candidates: object[] };
      const foreign = { ...decision.candidates[0], worker_id: '77', rejection: 'excluded' };
      return JSON.stringify({ ...decision, candidates: [...decision.candidates, foreign] });
    });
    await writeFile(path, others.join('\n'));
    expect((await readLog(path)).fleet).toMatchObject({ workers: 4, kvBlocks: 128 });
  });

  it('is refused when it has two block sizes', async () => {
    const path = join(directory, 'sizes.ndjson');
    const [first = '', second = ''] = (await readFile(file, 'utf8')).split('\n');
    const other = JSON.stringify({ ...(JSON.parse(second) as object), block_size: 32 });
    await writeFile(path, `${first}\n${other}\n`);
    await expect(readLog(path)).rejects.toThrow(
      /blocks of 32 tokens, others of 16: choose one with --block-size/,
    );
    const reader = new DecisionReader([path]);
    const chosen = await readDecisionLog({ ...OPTIONS, reader, blockSize: 16 });
    expect(chosen.trace.arrivalMs).toHaveLength(1);
  });

  it.each([
    ['', /broken\.ndjson holds no decision to replay$/],
    ['{"decision_id":3', /broken\.ndjson holds no decision .*1 of 1 line unreadable.*ndjson:1/],
    ['{"decision_id":"a"}', /decision a is not complete/],
  ])('that cannot be replayed says why: %s', async (text, message) => {
    const path = join(directory, 'broken.ndjson');
    await writeFile(path, text);
    await expect(readLog(path)).rejects.toThrow(message);
  });

  it('that is not there says so', async () => {
    await expect(readLog(join(directory, 'none'))).rejects.toThrow('cannot read the decision log');
  });

  it('of several processes is read from their folder', async () => {
    const folder = join(directory, 'fleet');
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    await mkdir(folder);
    await writeFile(join(folder, 'd.ndjson.1'), `${lines[2]}\n`);
    await writeFile(join(folder, 'd.ndjson'), `${lines[3]}\n`);
    await writeFile(join(folder, 'd-2.ndjson'), `${lines[0]}\n${lines[1]}\n`);
    await writeFile(join(folder, 'notes.txt'), 'nothing of ours\n');
    expect([...(await readLog(folder)).trace.arrivalMs]).toEqual([0, 25, 50, 75]);
    const twice = await readLog(join(folder, 'd.ndjson'), folder);
    expect(twice.trace.arrivalMs).toHaveLength(4);
    await mkdir(join(directory, 'empty'));
    await expect(readLog(join(directory, 'empty'))).rejects.toThrow('holds no decision log');
  });
});
