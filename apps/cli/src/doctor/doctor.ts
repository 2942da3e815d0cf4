/** `dynamo doctor`: what is installed, what is missing, what can be reached. Fails only when `dynamo up` could not run. */
import { createRequire } from 'node:module';

import {
  ETCD_OPTIONS,
  HTTP_ADDRESS_OPTIONS,
  NATS_OPTIONS,
  loadConfig,
  option,
  optionGroup,
  probeHealth,
  unknownVariables,
} from '@dynamo-ts/config';
import type { ConfigOf, Environment } from '@dynamo-ts/config';

import { absent, missing, ok } from './check.ts';
import type { Check, Finding } from './check.ts';
import { commandOutput, isPortFree, isReachable } from './probes.ts';

const MIN_NODE_MAJOR = 24;
/** What an addon of older sources lacks. */
const NEWEST_CALL = 'replayTrace';
const ETCD_PORT = 2379;
const NATS_PORT = 4222;

/** Options of `dynamo doctor`: the addresses that it tries. */
export const DOCTOR_OPTIONS = {
  ...optionGroup('Doctor', {
    httpPort: {
      ...HTTP_ADDRESS_OPTIONS.httpPort,
      help: 'Port that the frontend would listen on; 0 is any free one.',
    },
    engineCommand: option.string({
      flag: 'engine-command',
      env: 'DYN_ENGINE_COMMAND',
      default: 'llama-server',
      help: 'Engine program that would be started.',
    }),
  }),
  ...ETCD_OPTIONS,
  ...NATS_OPTIONS,
};

type DoctorConfig = ConfigOf<typeof DOCTOR_OPTIONS>;

/** Runs all checks and prints what they found; exit code 1 when something needed is missing. */
export async function runDoctor(input: {
  readonly argv: readonly string[];
  readonly env: Environment;
}): Promise<void> {
  const { config, help } = loadConfig(DOCTOR_OPTIONS, {
    ...input,
    command: 'dynamo doctor',
    summary: 'Says what is installed, what is missing and what can be reached.',
    asksAbout: { services: ['worker', 'frontend', 'up'], options: DOCTOR_OPTIONS },
  });
  if (help !== undefined) {
    process.stdout.write(help);
    return;
  }
  const checks = allChecks(config, input.env);
  const findings = await Promise.all(checks.map(async (check) => check.run()));
  for (const [index, finding] of findings.entries())
    process.stdout.write(`${renderFinding(checks[index]?.name ?? '', finding)}\n`);
  const failed = findings.filter((finding) => finding.status === 'missing').length;
  process.stdout.write(
    failed === 0 ? '\n"dynamo up" can run here.\n' : `\n${failed} needed, see above.\n`,
  );
  process.exitCode = failed === 0 ? 0 : 1;
}

function renderFinding(name: string, { status, detail }: Finding): string {
  const mark = { ok: 'ok     ', absent: '-      ', missing: 'MISSING' }[status];
  return `${mark} ${name.padEnd(14)} ${detail}`;
}

function allChecks(config: DoctorConfig, env: Environment): readonly Check[] {
  return [
    { name: 'node', run: async () => Promise.resolve(checkNode()) },
    { name: 'native addon', run: async () => Promise.resolve(checkAddon()) },
    { name: 'zeromq', run: async () => checkEngineEvents() },
    { name: `port ${config.httpPort}`, run: async () => checkPort(config.httpPort) },
    {
      name: 'rust',
      run: program('cargo', ['--version'], 'builds the addon; install it from https://rustup.rs'),
    },
    {
      name: 'docker',
      run: program(
        'docker',
        ['version', '--format', '{{.Server.Version}}'],
        'runs the compose set-up',
      ),
    },
    {
      name: 'compose',
      run: program('docker', ['compose', 'version', '--short'], 'runs the compose set-up'),
    },
    {
      name: config.engineCommand,
      run: program(config.engineCommand, ['--version'], 'runs --engine llama-server'),
    },
    { name: 'etcd', run: async () => checkAddresses(config.etcdEndpoints, ETCD_PORT) },
    { name: 'nats', run: async () => checkAddresses(config.natsServer, NATS_PORT) },
    { name: 'environment', run: async () => Promise.resolve(checkEnvironment(env)) },
  ];
}

function checkNode(): Finding {
  const version = process.versions.node;
  return Number(version.split('.')[0]) >= MIN_NODE_MAJOR
    ? ok(version)
    : missing(`${version} is too old; "npm start" brings Node ${MIN_NODE_MAJOR}`);
}

function checkAddon(): Finding {
  try {
    const addon: unknown = createRequire(import.meta.url)('@dynamo-ts/native');
    return typeof addon === 'object' && addon !== null && NEWEST_CALL in addon
      ? ok('loads')
      : missing('was built from older sources; build it again with "node scripts/setup.mjs"');
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return missing(`cannot be loaded (${reason}); build it with "node scripts/setup.mjs"`);
  }
}

async function checkEngineEvents(): Promise<Finding> {
  try {
    await import('@dynamo-ts/engine-events');
    return ok('loads; brings KV events of vLLM and SGLang to the router');
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return absent(`cannot be loaded (${reason}); KV events of vLLM and SGLang need it`);
  }
}

async function checkPort(port: number): Promise<Finding> {
  if (await isPortFree(port)) return ok('free');
  return (await probeHealth({ port, path: '/health' }))
    ? ok('something healthy answers there already, such as a frontend')
    : absent('taken; choose another with --http-port');
}

function program(command: string, args: readonly string[], use: string): Check['run'] {
  return async () => {
    const line = await commandOutput(command, args);
    return line === undefined ? absent(`not found or not working; ${use}`) : ok(line);
  };
}

async function checkAddresses(urls: readonly string[], defaultPort: number): Promise<Finding> {
  const reachable = await Promise.all(urls.map(async (url) => isReachable(url, defaultPort)));
  const found = urls.filter((_, index) => reachable[index]);
  return found.length > 0
    ? ok(found.join(', '))
    : absent(`nothing answers at ${urls.join(', ')}; only services over several machines need it`);
}

function checkEnvironment(env: Environment): Finding {
  const unknown = unknownVariables(env, DOCTOR_OPTIONS);
  if (unknown.length === 0) return ok('every variable named DYN_… is read');
  const named = unknown.map(({ name, meant }) =>
    meant === undefined ? name : `${name} (did you mean ${meant}?)`,
  );
  return absent(`not used by dynamo-ts: ${named.join(', ')}`);
}
