/**
 * The fault suite: real processes under load, hurt in every way that operators of such systems know.
 *
 *   npm run faults                     the short form, a few minutes
 *   npm run faults -- --long           the long form
 *   npm run faults -- --only etcd      scenarios whose name contains the word
 *   npm run faults -- --list           what there is
 *   npm run faults -- --write          also writes docs/RELIABILITY.md
 *   npm run faults -- --long --only soak --soak-requests 100000
 *   npm run faults -- --jobs 1         one scenario at a time; by default four, because most of them wait; those that
 *                                    measure run by themselves
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { CompileCache } from './compile-cache.ts';
import { reliabilityPage, tableText } from './report.ts';
import type { Row } from './report.ts';
import type { Scenario, ScenarioResult, Size } from './scenario.ts';
import { NOT_YET, SCENARIOS } from './scenarios.ts';

/** Much longer than any takes on a busy machine; the long form of the soak takes an hour. */
const LIMIT_MS: Readonly<Record<Size, number>> = { short: 8 * 60_000, long: 240 * 60_000 };

const PAGE = new URL('../../docs/RELIABILITY.md', import.meta.url);

const { values } = parseArgs({
  options: {
    long: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    list: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '4' },
    'soak-requests': { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const size: Size = values.long ? 'long' : 'short';
const soakRequests =
  values['soak-requests'] === undefined ? undefined : Number(values['soak-requests']);
const chosen = SCENARIOS.filter(
  ({ name }) => values.only.length === 0 || values.only.some((word) => name.includes(word)),
);

if (values.help || values.list) list();
else if (chosen.length === 0)
  fail(`no scenario is called like ${values.only.join(' or ')}; see --list`);
else {
  await runAll();
  // What a scenario that was given up has left behind would keep the process.
  process.exit();
}

async function runAll(): Promise<void> {
  await using cache = await CompileCache.create();
  Object.assign(process.env, cache.env); // services get it from here
  const rows = await runScenarios();
  const failed = rows.filter(({ result }) => result.problems.length > 0);
  process.stdout.write(`\n${tableText(rows)}\n\n`);
  for (const { outage, name, reason } of NOT_YET)
    process.stdout.write(`not yet: ${name} (${outage}): ${reason}\n`);
  if (values.write) {
    const date = new Date().toISOString().slice(0, 10);
    writeFileSync(
      PAGE,
      reliabilityPage(rows, NOT_YET, { size, date, node: process.versions.node }),
    );
  }
  for (const { scenario, result } of failed)
    process.stdout.write(`FAILED ${scenario.name}: ${result.problems.join('; ')}\n`);
  const skipped = rows.filter((row) => row.result.skipped !== undefined).length;
  const passed = rows.length - failed.length - skipped;
  const counts = { passed, failed: failed.length, skipped };
  const summary = process.env['DYN_TEST_SUMMARY'];
  if (summary !== undefined) appendFileSync(summary, `${JSON.stringify(counts)}\n`);
  const left = counts.skipped === 0 ? '' : `${counts.skipped} skipped, `;
  process.stdout.write(`${left}${counts.passed} passed, ${counts.failed} failed\n`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

/** Those that measure run by themselves, after all others. */
async function runScenarios(): Promise<readonly Row[]> {
  const results = new Map<Scenario, ScenarioResult>();
  const lanes = async (scenarios: readonly Scenario[], width: number): Promise<void> => {
    const waiting = [...scenarios];
    const lane = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
        results.set(next, await runOne(next));
    };
    await Promise.all(Array.from({ length: width }, lane));
  };
  await lanes(
    chosen.filter(({ alone }) => alone !== true),
    Math.max(1, Number(values.jobs)),
  );
  await lanes(
    chosen.filter(({ alone }) => alone === true),
    1,
  );
  return chosen.flatMap((scenario) => {
    const result = results.get(scenario);
    return result === undefined ? [] : [{ scenario, result }];
  });
}

async function runOne(scenario: Scenario): Promise<ScenarioResult> {
  const started = performance.now();
  const say = (message: string): void => {
    process.stdout.write(`${scenario.name}: ${message}\n`);
  };
  say(scenario.fault);
  const running = scenario.run({ size, soakRequests, progress: say });
  const result = await inTime(running).catch(broken);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  for (const problem of result.problems) say(`PROBLEM: ${problem}`);
  for (const note of result.notes) say(note);
  const outcome = result.problems.length === 0 ? 'holds' : 'FAILED';
  say(`${result.skipped === undefined ? outcome : `skipped: ${result.skipped}`} (${seconds} s)`);
  return result;
}

/** A scenario that waits for ever must not keep the others from their table. */
async function inTime(running: Promise<ScenarioResult>): Promise<ScenarioResult> {
  const limitMs = LIMIT_MS[size];
  const limit = new AbortController();
  const late = delay(limitMs, undefined, { signal: limit.signal }).then(() => {
    throw new Error(`not at its end after ${limitMs / 60_000} minutes`);
  });
  late.catch(() => undefined); // aborted by the scenario's end
  try {
    return await Promise.race([running, late]);
  } finally {
    limit.abort();
  }
}

/** A scenario that could not come to its end has failed. */
function broken(error: unknown): ScenarioResult {
  const messages: string[] = [];
  let each = error;
  for (; each instanceof Error; each = each.cause) messages.push(each.message);
  if (each !== undefined) messages.push(JSON.stringify(each));
  return { requests: 0, failed: 0, stuck: 0, notes: [], problems: [messages.join(': ')] };
}

function list(): void {
  for (const { name, load, fault, assertion } of SCENARIOS)
    process.stdout.write(`${name}\n   load: ${load}\n   fault: ${fault}\n   holds: ${assertion}\n`);
  process.stdout.write('\nnpm run faults -- [--long] [--only WORD]… [--write]\n');
}

function fail(message: string): void {
  process.stderr.write(`${message}\n`);
  process.exitCode = 2;
}
