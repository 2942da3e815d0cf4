/** `dynamo run in=text out=echo`: connects prompts, or a server, with an engine or with the workers of a deployment. */
import { AbortReasonError } from '@dynamo-ts/base';
import { loadConfig, misspeltLines } from '@dynamo-ts/config';
import type { Environment } from '@dynamo-ts/config';
import { DistributedRuntime, createLocalPlanes, createPlanes } from '@dynamo-ts/runtime';
import { createTelemetry } from '@dynamo-ts/telemetry';

import { wordsAsFlags } from '../command-words.ts';
import { inputOf } from '../entrypoint/input.ts';
import type { Input } from '../entrypoint/input.ts';
import { EngineType } from '../entrypoint/make-engine.ts';
import type { EntrypointEngine } from '../entrypoint/make-engine.ts';
import { runInput } from '../entrypoint/run-input.ts';
import type { ReadyInput } from '../entrypoint/run-input-options.ts';
import { RUN_OPTIONS, engineOf, flagOfWord } from './run-options.ts';
import type { RunConfig } from './run-options.ts';

const INTERRUPTED_EXIT_CODE = 130;
/** Signals within this time are one Ctrl-C: a terminal and npm both deliver it. */
const SAME_INTERRUPT_MS = 500;

/** Runs until all prompts are answered, or until it is stopped. */
export async function runRun(input: {
  readonly argv: readonly string[];
  readonly env: Environment;
}): Promise<void> {
  const { config, help } = loadConfig(RUN_OPTIONS, {
    ...input,
    argv: wordsAsFlags(input.argv, RUN_OPTIONS, flagOfWord),
    command: 'dynamo run',
    words: '[in=INPUT] [out=ENGINE] [MODEL]',
    summary: 'Connects prompts, or a server, with an engine: "dynamo run in=text out=echo".',
  });
  if (help !== undefined) {
    process.stdout.write(help);
    return;
  }
  for (const line of misspeltLines(input.env, RUN_OPTIONS))
    process.stderr.write(`dynamo run: ${line}\n`);
  await connect(config);
}

async function connect(config: RunConfig): Promise<void> {
  const engine = createEngine(config);
  const input = inputOf(config.input, engine);
  const isLocal = engine.worker !== undefined && input.kind !== 'endpoint';
  await using telemetry = createTelemetry({ service: 'run', ...config });
  await using planes = isLocal
    ? createLocalPlanes()
    : await createPlanes({ ...config, logger: telemetry.logger });
  await using runtime = await DistributedRuntime.connect({
    ...planes,
    ...telemetry,
    namespace: config.namespace,
  });
  await runInput({
    runtime,
    input: config.input,
    engine,
    signal: untilStopped(),
    maxTokens: config.maxTokens,
    onReady: (ready) => tellReady(input, ready),
  });
}

function createEngine(config: RunConfig): EntrypointEngine {
  const engine = engineOf(config);
  return {
    type: engine ?? EngineType.Dynamic,
    modelName: config.modelName,
    worker: engine === undefined ? undefined : { ...config, engine, endpoint: undefined },
    frontend: config,
  };
}

function tellReady({ kind }: Input, { url }: ReadyInput): void {
  if (url !== undefined) process.stderr.write(`serving at ${url}; Ctrl-C stops it\n`);
  else if (kind === 'endpoint') process.stderr.write('serving; Ctrl-C stops it\n');
  else if (kind === 'text' && process.stdin.isTTY)
    process.stderr.write('Ctrl-C ends an answer; Ctrl-D ends the conversation\n');
}

/** Aborted by the first Ctrl-C or SIGTERM; the second one ends the process. */
function untilStopped(): AbortSignal {
  const stop = new AbortController();
  let sinceMs: number | undefined;
  const onSignal = (): void => {
    if (sinceMs !== undefined && performance.now() - sinceMs > SAME_INTERRUPT_MS)
      process.exit(INTERRUPTED_EXIT_CODE);
    sinceMs ??= performance.now();
    stop.abort(new AbortReasonError('shutdown'));
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return stop.signal;
}
