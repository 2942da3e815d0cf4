/**
 * What a large fleet costs while nothing happens: processor time of router and frontend with many idle workers, and how
 * long a router that starts needs to know what all of them hold.
 *
 *   npm run fleet-size -w @dynamo-ts/bench -- [--workers 1000] [--blocks 1000] [--planes brokers|files]
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { NodeProgram, etcdProvider, eventually, freePort, natsProvider } from '@dynamo-ts/testing';
import type { Broker } from '@dynamo-ts/testing';

const START_TIMEOUT_MS = 300_000;
const IDLE_SECONDS = 30;
/** Clock ticks a second; 100 on every Linux that runs Node. */
const TICKS_PER_SECOND = 100;

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '1000' },
    blocks: { type: 'string', default: '1000' },
    planes: { type: 'string', default: 'brokers' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'fleet-size-'));
const brokers: readonly Broker[] =
  values.planes === 'files'
    ? []
    : [await (await etcdProvider()).start(), await (await natsProvider()).start()];
const planeArgs = [...backends(), '--rpc-host=127.0.0.1', '--rpc-advertised-host=127.0.0.1'];

try {
  await using fleet = NodeProgram.start(path('./fleet.ts'), {
    args: [values.workers, values.blocks, ...planeArgs],
  });
  await eventually(() => fleet.lines.includes('ready'), {
    timeoutMs: START_TIMEOUT_MS,
    what: `${values.workers} workers: ${fleet.stderr}`,
  });
  process.stdout.write(`${values.workers} workers of ${values.blocks} blocks, ${values.planes}\n`);
  const routerPort = await freePort();
  const startedMs = performance.now();
  await using router = start('router', [
    ...[`--system-port=${routerPort}`, '--system-host=127.0.0.1', '--router-grpc-port=-1'],
  ]);
  const restored = await restoredBlocks(`http://127.0.0.1:${routerPort}`);
  const seconds = (performance.now() - startedMs) / 1000;
  process.stdout.write(
    `router: ${restored} blocks of all workers ${seconds.toFixed(2)} s after the start of its process\n`,
  );
  const port = await freePort();
  await using frontend = start('frontend', [
    ...[`--http-port=${port}`, '--http-host=127.0.0.1', '--router-placement=service'],
  ]);
  await eventually(
    async () => (await (await fetch(`http://127.0.0.1:${port}/v1/models`)).text()).includes('idle'),
    { timeoutMs: START_TIMEOUT_MS, what: 'the frontend lists the model' },
  );
  await delay(5000);
  await idleCost([
    ['router', router],
    ['frontend', frontend],
  ]);
} finally {
  for (const broker of brokers) await broker.close();
  rmSync(folder, { recursive: true, force: true });
}

/** How the processes find each other: etcd and NATS as in a deployment of this size, or files. */
function backends(): readonly string[] {
  const [etcd, nats] = brokers;
  return etcd === undefined || nats === undefined
    ? [
        ...['--discovery-backend=file', `--file-discovery-dir=${folder}`],
        ...['--request-plane=grpc', '--event-plane=direct'],
      ]
    : [
        ...['--discovery-backend=etcd', `--etcd-endpoints=http://${etcd.address}`],
        ...['--request-plane=grpc', '--event-plane=nats', `--nats-server=nats://${nats.address}`],
      ];
}

function start(app: string, args: readonly string[]): NodeProgram {
  return NodeProgram.start(path(`../../apps/${app}/src/main.ts`), {
    args: [...planeArgs, ...args],
    env: { DYN_LOG: 'error' },
  });
}

/** Waits until the router's index holds what all workers have. */
async function restoredBlocks(url: string): Promise<number> {
  const expected = Number(values.workers) * Number(values.blocks);
  return eventually(
    async () => {
      const page = await (await fetch(`${url}/metrics`)).text();
      const lines = page.matchAll(/^dynamo_component_router_kv_index_blocks\{.*\} (\d+)$/gm);
      const blocks = [...lines].reduce((sum, line) => sum + Number(line[1]), 0);
      return blocks >= expected ? blocks : undefined;
    },
    { timeoutMs: START_TIMEOUT_MS, what: `the index holds ${expected} blocks` },
  );
}

async function idleCost(programs: readonly (readonly [string, NodeProgram])[]): Promise<void> {
  const before = programs.map(([, { pid }]) => cpuSeconds(pid));
  await delay(IDLE_SECONDS * 1000);
  let total = 0;
  for (const [index, [name, { pid }]] of programs.entries()) {
    const cores = (cpuSeconds(pid) - (before[index] ?? 0)) / IDLE_SECONDS;
    total += cores;
    process.stdout.write(`${name}: ${cores.toFixed(3)} cores while idle\n`);
  }
  process.stdout.write(`together: ${total.toFixed(3)} cores\n`);
}

/** Seconds of CPU since the process began, in user and system mode. */
function cpuSeconds(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the program's name in brackets and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function path(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}
