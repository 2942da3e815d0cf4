/**
 * Runs commands one after another, keeps count of what passed and failed over all of them, and prints the totals.
 * Plain JavaScript for Node 20: it runs before and around the packaged Node 24.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Environment in which the packaged Node 24 and the workspace's tools come first. */
export const TOOL_ENV = {
  ...process.env,
  PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`,
  NX_DAEMON: 'false',
};

/** Counts of one suite. */
const none = () => ({ passed: 0, failed: 0, skipped: 0 });

/** How each kind of runner tells what happened; the default counts the command itself as one test. */
const COUNTERS = {
  exit: ({ code }) => ({ ...none(), ...(code === 0 ? { passed: 1 } : { failed: 1 }) }),
  cargo: ({ code, output }) => {
    const total = none();
    for (const [, passed, failed, ignored] of output.matchAll(
      /test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/g,
    )) {
      total.passed += Number(passed);
      total.failed += Number(failed);
      total.skipped += Number(ignored);
    }
    if (code !== 0 && total.failed === 0) total.failed = 1;
    return total;
  },
  /** A runner that ends in "N passed, N failed" and has a line "FAILED …" for each. */
  lines: ({ code, output }) => {
    const [, passed, failed] = /(\d+) passed, (\d+) failed\s*$/.exec(output) ?? [0, 0, 1];
    const details = output.match(/^FAILED .*$/gm) ?? [];
    const total = { ...none(), passed: Number(passed), failed: Number(failed), details };
    if (code !== 0 && total.failed === 0) total.failed = 1;
    return total;
  },
  vitest: ({ code, report }) => {
    if (!existsSync(report)) return { ...none(), failed: 1 };
    const result = JSON.parse(readFileSync(report, 'utf8'));
    const total = {
      passed: result.numPassedTests,
      failed: result.numFailedTests,
      skipped: result.numPendingTests + result.numTodoTests,
      details: failuresOf(result),
    };
    if (code !== 0 && total.failed === 0) total.failed = 1;
    return total;
  },
};

const MOST_DETAIL_LINES = 12;

/** Which tests of a vitest report failed, and how each began to say so. */
function failuresOf(report) {
  return report.testResults.flatMap(({ name, message, assertionResults }) => {
    const file = relative(ROOT, name);
    const tests = assertionResults.filter(({ status }) => status === 'failed');
    if (tests.length === 0) return message ? [`${file}\n${shortened(message)}`] : [];
    return tests.map(
      ({ fullName, failureMessages }) =>
        `${file} > ${fullName}\n${shortened(failureMessages.join('\n'))}`,
    );
  });
}

function shortened(message) {
  return stripVTControlCharacters(message)
    .split('\n')
    .slice(0, MOST_DETAIL_LINES)
    .map((line) => `    ${line}`)
    .join('\n');
}

/** Collects suites; `close()` prints the closing line and sets the exit code. */
export class SuiteRunner {
  #total = none();
  #failures = [];

  /**
   * Runs one command.
   *
   * @param {string} name shown in progress and in the list of failures
   * @param {string[]} command program and arguments
   * @param {{ kind?: 'exit' | 'cargo' | 'lines' | 'vitest', cwd?: string, env?: Record<string, string>, forbid?: RegExp }} [options]
   *   `forbid` fails a command whose output matches, even when it exits with 0
   */
  async run(name, command, options = {}) {
    const { kind = 'exit', cwd = ROOT, env = {}, forbid } = options;
    const started = Date.now();
    process.stdout.write(`\n── ${name}: ${command.join(' ')}\n`);
    const report =
      kind === 'vitest' ? join(mkdtempSync(join(tmpdir(), 'suite-')), 'report.json') : '';
    const reporters =
      kind === 'vitest'
        ? ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
        : [];
    const { code, output } = await execute([...command, ...reporters], cwd, {
      ...TOOL_ENV,
      ...env,
    });
    const forbidden = forbid?.test(output) ?? false;
    const counts = COUNTERS[kind]({ code: forbidden ? 1 : code, output, report });
    this.#add(name, counts);
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    process.stdout.write(
      `── ${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped (${seconds} s)\n`,
    );
    return counts.failed === 0;
  }

  /** Counts what another runner reported in its closing line. */
  add(name, counts) {
    this.#add(name, { ...none(), ...counts });
  }

  /** Prints what failed and, last, the one line that sums everything up. */
  close() {
    const { passed, failed, skipped } = this.#total;
    for (const { name, details } of this.#failures) {
      process.stdout.write(`FAILED: ${name}\n`);
      for (const detail of details) process.stdout.write(`  ${detail}\n`);
    }
    if (skipped > 0) process.stdout.write(`skipped: ${skipped}\n`);
    const line = `${passed} passed, ${failed} failed`;
    process.stdout.write(`${line}\n`);
    const file = process.env.DYN_TEST_SUMMARY;
    const details = this.#failures.flatMap((failure) => failure.details);
    if (file) appendFileSync(file, `${JSON.stringify({ ...this.#total, details })}\n`);
    process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
  }

  #add(name, counts) {
    for (const key of Object.keys(this.#total)) this.#total[key] += counts[key];
    if (counts.failed > 0) this.#failures.push({ name, details: counts.details ?? [] });
  }
}

/** Runs a command with its output shown and kept. */
function execute([program, ...args], cwd, env) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const relay = (target) => (chunk) => {
      output += chunk;
      target.write(chunk);
    };
    child.stdout.on('data', relay(process.stdout));
    child.stderr.on('data', relay(process.stderr));
    child.on('error', (error) => resolve({ code: 1, output: String(error) }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}
