/**
 * What CI runs, from nothing: `npm test`, then the suites that need containers and a real engine. Images and engine are
 * set up beside the tests. On a machine without a container registry the folder `../shared/tools`, when it is there,
 * provides the engine and the images; the project itself only knows the public names.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ROOT, SuiteRunner } from './suite-runner.mjs';

const TOOLS = join(ROOT, '../shared/tools');
const IMAGES = [
  'node:24-bookworm-slim',
  'rust:1.95-slim-bookworm',
  'nats:2.12-alpine',
  'quay.io/coreos/etcd:v3.6.6',
];
const E2E = ['vitest', 'run', '--config', 'e2e/vitest.config.ts'];
const scratch = mkdtempSync(join(tmpdir(), 'ci-'));

const images = beside('images', prepareImages());
const engine = beside('engine', engineCommand());
const summary = join(scratch, 'summary.jsonl');
const runner = new SuiteRunner();
await runner.run('brokers for tests', ['sh', 'scripts/install-brokers.sh']);
const env = { DYN_TEST_SUMMARY: summary, DYN_TEST_BROKERS: 'binaries' };
runTests(env);

const gguf = await engine;
const dockerReady = await images;
// Writes docs/RELIABILITY.md anew, so that the run's own table is at hand.
await runner.run('faults', ['npm', 'run', '--silent', 'faults', '--', '--write'], {
  kind: 'lines',
});
await realEngineSuite();
await containerSuites();
runner.close();

/** `npm test` with its own closing line; its counts are added to ours. */
function runTests(environment) {
  spawnSync('npm', ['test'], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  const counts = existsSync(summary)
    ? JSON.parse(readFileSync(summary, 'utf8').trim().split('\n').at(-1))
    : { failed: 1 };
  runner.add('npm test', counts);
}

/** The suites that talk to a real llama-server. */
async function realEngineSuite() {
  if (gguf === undefined) {
    runner.add('real engine', { skipped: 1 });
    process.stdout.write('skipped: no llama-server can be had here\n');
    return;
  }
  const program = join(scratch, 'llama-server');
  writeFileSync(program, `#!/bin/sh\nexec ${join(TOOLS, 'cpu-engine')} llama "$@"\n`, {
    mode: 0o755,
  });
  const env = { DYN_TEST_GGUF: gguf, DYN_TEST_LLAMA_SERVER: program };
  const cargo = ['cargo', 'test', '--manifest-path', 'native/Cargo.toml', '--release', '--quiet'];
  await runner.run('tokenizer of a GGUF file', [...cargo, '-p', 'dynamo-text', '--test', 'gguf'], {
    kind: 'cargo',
    env,
  });
  await runner.run(
    'worker with llama-server',
    ['vitest', 'run', 'apps/worker-shim/test/llama-server'],
    {
      kind: 'vitest',
      env,
    },
  );
  await runner.run('dynamo up with llama-server', [...E2E, 'e2e/engine'], { kind: 'vitest', env });
}

/** Broker contract suites in containers, and the compose file as a user runs it. */
async function containerSuites() {
  if (!dockerReady) {
    runner.add('containers', { failed: 1 });
    return;
  }
  const docker = {
    TESTCONTAINERS_RYUK_DISABLED: 'true',
    PATH: `${ROOT}/node_modules/.bin:/usr/bin:${process.env.PATH}`,
  };
  // The other tests need no broker and have run.
  const brokerTests = ['discovery/etcd', '/nats/', 'create-planes'];
  await runner.run('planes in containers', ['vitest', 'run', ...brokerTests], {
    kind: 'vitest',
    env: { ...docker, DYN_TEST_BROKERS: 'containers' },
  });
  await runner.run('compose', [...E2E, 'e2e/compose'], { kind: 'vitest', env: docker });
}

/** Starts a preparation in the background. @returns what it prints last, or undefined when it failed */
function beside(name, command) {
  if (command === undefined) return Promise.resolve(undefined);
  const log = join(scratch, `${name}.log`);
  const out = openSync(log, 'w');
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', command], { cwd: ROOT, stdio: ['ignore', out, out] });
    child.on('close', (code) => {
      const text = readFileSync(log, 'utf8').trim();
      if (code !== 0)
        process.stdout.write(`${name} could not be prepared:\n${text.slice(-2000)}\n`);
      resolve(code === 0 ? (text.split('\n').at(-1) ?? '') : undefined);
    });
  });
}

/** Public images where a registry answers, local stand-ins where the tool for them is there. */
function prepareImages() {
  const tool = join(TOOLS, 'offline-containers');
  const pull = IMAGES.map(
    (image) => `docker image inspect ${image} >/dev/null 2>&1 || docker pull -q ${image}`,
  );
  const pulled = `docker info >/dev/null 2>&1 && ${pull.map((step) => `(${step})`).join(' && ')} && echo ready`;
  return existsSync(tool) ? `(${pulled}) || (${tool} ${IMAGES.join(' ')} && echo ready)` : pulled;
}

function engineCommand() {
  const tool = join(TOOLS, 'cpu-engine');
  return existsSync(tool) ? `${tool} gguf` : undefined;
}
