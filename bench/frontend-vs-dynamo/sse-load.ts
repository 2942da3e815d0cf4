import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { Scenario } from './scenario.ts';
import { MODEL_NAME } from '../sides/side.ts';
import type { Side } from '../sides/side.ts';

const run = promisify(execFile);

/** What one run of the load generator found. */
export interface Figures {
  /** Processor time of the frontend per token in µs, or per request in ms. */
  readonly cpu: number;
  readonly ttftP50Ms: number;
  readonly ttftP99Ms: number;
  readonly itlP50Ms: number;
  readonly itlP99Ms: number;
  readonly tokensPerSecond: number;
  readonly requestsPerSecond: number;
  /** SSE events with text per completion token. */
  readonly framesPerToken: number;
  readonly failed: number;
}

/** The load generator's binary, built first when a folder of source is given. */
export async function loadGenerator(path: string, folder: string): Promise<string> {
  if (!statSync(path).isDirectory()) return path;
  const binary = join(folder, 'sse-load');
  await run('go', ['build', '-o', binary, '.'], { cwd: path });
  return binary;
}

/** Drives one side once. */
export async function drive(
  binary: string,
  side: Side,
  scenario: Scenario,
  options: { readonly seed: number; readonly scale: number },
): Promise<Figures> {
  const requests = Math.max(
    Math.round(scenario.requests * options.scale),
    Math.min(scenario.concurrency, scenario.requests),
  );
  const flags = {
    url: side.url,
    model: MODEL_NAME,
    concurrency: scenario.concurrency,
    requests,
    isl: scenario.promptWords,
    shared: scenario.sharedWords ?? 0,
    groups: 4,
    osl: scenario.outputTokens,
    stream: scenario.stream,
    warmup: scenario.warmup ?? Math.max(scenario.concurrency, Math.ceil(requests / 4)),
    seed: options.seed,
    pid: `frontend=${side.frontendPid}`,
    timeout: '600s',
  };
  const argv = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const { stdout } = await run(binary, argv, { maxBuffer: 1 << 24 });
  return figuresOf(JSON.parse(stdout) as Record<string, number>, scenario);
}

function figuresOf(raw: Readonly<Record<string, number>>, scenario: Scenario): Figures {
  const value = (name: string): number => raw[name] ?? NaN;
  return {
    cpu: value(
      scenario.per === 'token' ? 'cpu_us_per_token_frontend' : 'cpu_ms_per_request_frontend',
    ),
    ttftP50Ms: value('ttft_ms_p50'),
    ttftP99Ms: value('ttft_ms_p99'),
    itlP50Ms: value('itl_ms_p50'),
    itlP99Ms: value('itl_ms_p99'),
    tokensPerSecond: value('tok_per_s'),
    requestsPerSecond: value('req_per_s'),
    framesPerToken: value('frames') / value('tokens'),
    failed: value('failed'),
  };
}
