import { readFileSync } from 'node:fs';

import { DynamoError, suggestion } from '@dynamo-ts/base';
import type { Environment } from '@dynamo-ts/config';

import { runServiceMain } from './service-entry.ts';
import type { ServiceName } from './service-entry.ts';

/** What a command is given. */
interface CommandInput {
  /** Arguments after the command's name. */
  readonly argv: readonly string[];
  readonly env: Environment;
}

interface Command {
  readonly summary: string;
  readonly run: (input: CommandInput) => Promise<void>;
}

/** Commands are imported when they run: `dynamo version` must not load a fleet. */
const COMMANDS: Readonly<Record<string, Command>> = {
  up: {
    summary: 'Start an OpenAI-compatible endpoint with workers on this machine',
    run: async (input) => (await import('./up/up-command.ts')).runUp(input),
  },
  run: {
    summary: 'Connect prompts with an engine: "dynamo run in=text out=echo"',
    run: async (input) => (await import('./run/run-command.ts')).runRun(input),
  },
  explain: {
    summary: 'Say why a request went to the worker it went to',
    run: async (input) => (await import('./explain/explain-command.ts')).runExplain(input),
  },
  replay: {
    summary: 'Send recorded requests through other routing policies',
    run: async (input) => (await import('./replay/replay-command.ts')).runReplay(input),
  },
  doctor: {
    summary: 'Say what is installed, what is missing and what can be reached',
    run: async (input) => (await import('./doctor/doctor.ts')).runDoctor(input),
  },
  frontend: service('frontend', 'Run the HTTP frontend'),
  router: service('router', 'Run the router service'),
  worker: service('worker-shim', 'Run one worker in front of one engine'),
  version: {
    summary: 'Print the version',
    run: async () => Promise.resolve(void process.stdout.write(`dynamo ${version()}\n`)),
  },
};

const ALIASES: Readonly<Record<string, string>> = { '--version': 'version', '-V': 'version' };
/** What people type who come from elsewhere. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  serve: '; "dynamo up" serves on this machine',
  start: '; "dynamo up" serves on this machine',
  launch: '; "dynamo up" serves on this machine',
  mocker: '; "dynamo worker --engine mocker" runs one',
  indexer: '; "dynamo router --router-service indexer" runs one',
  planner: ': the planner is not built yet',
};
const HELP_WORDS: readonly (string | undefined)[] = ['help', '--help', '-h', undefined];

/** Runs one command. @throws config.invalid for an unknown one */
export async function runCommand(words: readonly string[], env: Environment): Promise<void> {
  const [word, ...argv] = words;
  const [about] = argv;
  if (word === 'help' && about !== undefined) return runCommand([about, '--help'], env);
  if (word === undefined || HELP_WORDS.includes(word)) {
    process.stdout.write(helpText());
    return;
  }
  const command = tryOwn(COMMANDS, tryOwn(ALIASES, word) ?? word);
  if (command === undefined)
    throw new DynamoError('config.invalid', `unknown command '${word}'${adviceOn(word)}`);
  await command.run({ argv, env });
}

function adviceOn(word: string): string {
  if (word.startsWith('-')) return '; a flag stands after its command ("dynamo help" lists them)';
  const names = Object.keys(COMMANDS);
  const meant = tryOwn(ELSEWHERE, word) ?? suggestion(word, names);
  return meant === '' ? `; known are ${names.join(', ')}` : `${meant} ("dynamo help" lists all)`;
}

/** An entry of a table, which has no `constructor` and the like. */
function tryOwn<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

function service(name: ServiceName, summary: string): Command {
  return { summary, run: async ({ argv }) => runServiceMain(name, argv) };
}

function helpText(): string {
  const rows = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`,
  );
  return `One OpenAI-compatible endpoint in front of a fleet of LLM engines.\n\nUsage: dynamo <command> [flags]\n\n${rows.join('\n')}\n\n"dynamo <command> --help" lists the flags of a command.\n`;
}

function version(): string {
  const file = new URL('../package.json', import.meta.url);
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }; // our own file
  return manifest.version;
}
