/**
 * Fuzzing of what comes from outside: HTTP bodies, mux frames, discovery records. KV event frames have their own fuzz
 * targets in native/crates/kv/fuzz.
 *
 *   npm run fuzz                                   ten seconds each
 *   npm run fuzz -- --minutes 10 --only http       ten minutes of one
 *   npm run fuzz -- --seed 1234                    begins at this seed; every finding names its own
 */
import { parseArgs } from 'node:util';

import { DISCOVERY_RECORDS } from './discovery-records.ts';
import { HTTP_BODIES } from './http-bodies.ts';
import { MUX_FRAMES } from './mux-frames.ts';
import type { FuzzTarget, FuzzTargetSpec } from './target.ts';

const TARGETS: readonly FuzzTargetSpec[] = [HTTP_BODIES, MUX_FRAMES, DISCOVERY_RECORDS];
const DEFAULT_MINUTES = 1 / 6;
/** Inputs that are tried at the same time. */
const WIDTH = 8;
const HANG_MS = 30_000;
const CHECK_EVERY = 500;
const MOST_FINDINGS = 10;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: String(DEFAULT_MINUTES) },
    only: { type: 'string', default: '' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  for (const { name, what } of TARGETS) process.stdout.write(`${name}: ${what}\n`);
  process.stdout.write('\nnpm run fuzz -- [--minutes N] [--only NAME] [--seed N]\n');
} else await fuzzAll();

async function fuzzAll(): Promise<void> {
  let failed = 0;
  const chosen = TARGETS.filter(({ name }) => name.includes(values.only));
  for (const spec of chosen) {
    const findings = await fuzz(spec, Number(values.minutes) * 60_000, Number(values.seed));
    if (findings.length > 0) failed += 1;
    for (const finding of findings) process.stdout.write(`${spec.name}: FOUND ${finding}\n`);
  }
  process.stdout.write(`${chosen.length - failed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 && chosen.length > 0 ? 0 : 1;
}

async function fuzz(
  spec: FuzzTargetSpec,
  durationMs: number,
  firstSeed: number,
): Promise<readonly string[]> {
  await using target = await spec.start();
  await target.works();
  const findings: string[] = [];
  const endMs = performance.now() + durationMs;
  let seed = firstSeed;
  const lane = async (): Promise<void> => {
    while (performance.now() < endMs && findings.length < MOST_FINDINGS) {
      seed += 1;
      const finding = await tried(target, seed);
      if (finding !== undefined) findings.push(`seed ${seed}: ${finding}`);
      if ((seed - firstSeed) % CHECK_EVERY === 0) await stillWorks(target, seed, findings);
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, lane));
  await stillWorks(target, seed, findings);
  process.stdout.write(
    `${spec.name}: ${seed - firstSeed} inputs from seed ${firstSeed + 1}, ${findings.length} findings\n`,
  );
  return findings;
}

async function tried(target: FuzzTarget, seed: number): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no end within ${HANG_MS / 1000} s`), HANG_MS);
  });
  try {
    return await Promise.race([target.attempt(seed), hang]);
  } catch (error) {
    return `the attempt broke: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    clearTimeout(timer);
  }
}

async function stillWorks(target: FuzzTarget, seed: number, findings: string[]): Promise<void> {
  await target.works().catch((error: unknown) => {
    findings.push(`after seed ${seed} good input fails: ${String(error)}`);
  });
}
