import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { DYNAMO_START_TIMEOUT_MS, DynamoProcess } from '@dynamo-ts/testing';
import { describe, expect, it, vi } from 'vitest';

import { complete, completeWith, isAlive } from './up-probes.ts';

const FAST = ['--port', '0', '--speedup-ratio', '0'];

describe('dynamo up in one process', { timeout: 2 * DYNAMO_START_TIMEOUT_MS }, () => {
  it('shows a curl line that works, and stops at Ctrl-C with 0', async () => {
    await using dynamo = new DynamoProcess(['up', ...FAST]);
    const url = await dynamo.ready();
    expect(dynamo.out).toContain('on 2 mocker workers');
    const body = /-d '(.*)'$/m.exec(dynamo.out)?.[1] ?? '';
    expect(dynamo.out).toContain(`curl -N ${url}/v1/chat/completions`);
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await response.text();
    expect(text.match(/^data: /gm)).toHaveLength(65);
    expect(text).toContain('data: [DONE]');
    dynamo.child.kill('SIGINT');
    expect(await dynamo.exit).toBe(0);
    expect(dynamo.err).toBe('');
  });

  it('sends the same long prompt to the same worker, and explains why', async () => {
    await using dynamo = new DynamoProcess(['up', ...FAST]);
    const url = await dynamo.ready();
    const prompt = 'the same long prompt, again and again. '.repeat(20);
    await completeWith(url, prompt);
    const second = await completeWith(url, prompt);
    expect(second.cachedTokens).toBeGreaterThan(prompt.length / 2);
    await using explain = new DynamoProcess(['explain', second.decisionId, '--url', url]);
    expect(await explain.exit).toBe(0);
    await vi.waitFor(() =>
      expect(explain.out).toContain(`the engine found ${second.cachedTokens}`),
    );
    expect(explain.out).toContain('because it costs least');
    const env = { DYN_HTTP_PORT: new URL(url).port };
    await using last = new DynamoProcess(['explain', '--last'], { env });
    expect(await last.exit).toBe(0);
    await vi.waitFor(() => expect(last.out).toBe(explain.out));
  });

  it('serves every worker and the router service under one page of metrics', async () => {
    await using dynamo = new DynamoProcess([
      'up',
      ...FAST,
      '--workers=3',
      '--router-placement=service',
      '--model-name=a-model',
    ]);
    const url = await dynamo.ready();
    expect(dynamo.out).toContain('a-model on 3 mocker workers');
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('dynamo_frontend_');
    expect(metrics).toContain('dynamo_component_');
  });

  it('serves with the workers that are there, and says what it waits for', async () => {
    await using echo = new DynamoProcess(['up', ...FAST, '--workers', '1', '--engine', 'echo']);
    const there = await echo.ready();
    const engines = [there, 'http://127.0.0.1:1'].map((url) => `--engine-url=${url}`);
    await using dynamo = new DynamoProcess(['up', '--port=0', '--engine=openai', ...engines]);
    const url = await dynamo.ready();
    expect(dynamo.err).toContain('waiting: 1 of 2 openai workers ready');
    expect(dynamo.err).toContain('the engine at http://127.0.0.1:1 cannot be reached');
    const body = { model: 'echo', prompt: 'hello', max_tokens: 5 };
    const answer = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    dynamo.child.kill('SIGINT');
    expect(await dynamo.exit).toBe(0);
  });

  it.each([[[]], [['--processes']]])(
    'says in one line that its port is taken (%j)',
    async (more) => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
      const { port } = server.address() as AddressInfo;
      await using dynamo = new DynamoProcess(['up', '--port', String(port), ...more]);
      expect(await dynamo.exit).toBe(1);
      await vi.waitFor(() => expect(dynamo.err).toContain(String(port)));
      expect(dynamo.err.trim().split('\n')).toHaveLength(1);
      await new Promise((resolve) => server.close(resolve));
    },
  );

  it.each([
    [['up', '--wrokers', '3'], "did you mean '--workers'?"],
    [['up', '--engine', 'vllm'], 'attach to it as "openai" with --engine-url'],
    [['up', '--port', '0', '--model', '/nowhere/at/all'], '/nowhere/at/all'],
    [['upp'], "unknown command 'upp'; did you mean 'up'?"],
    [['fronted', '--port', '1'], "did you mean 'frontend'?"],
    [['serve'], 'unknown command \'serve\'; "dynamo up" serves on this machine'],
    [['--workers', '3'], 'a flag stands after its command'],
    [['nonsense'], 'known are up, run,'],
    [['constructor'], "unknown command 'constructor'"],
  ])('says in one line what is wrong with %j', async (args, message) => {
    await using dynamo = new DynamoProcess(args);
    expect(await dynamo.exit).toBe(1);
    await vi.waitFor(() => expect(dynamo.err).toContain(message));
    expect(dynamo.err.trim().split('\n')).toHaveLength(1);
  });
});

describe('dynamo up --processes', { timeout: 3 * DYNAMO_START_TIMEOUT_MS }, () => {
  it('runs every service in its own process and brings a dead one back', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dynamo-up-test-'));
    const config = join(folder, 'up.yaml');
    await writeFile(config, 'workers: 3\nup:\n  workers: 2\n');
    const env = { DYN_HTTP_PROT: '1', DYN_CONFIG: config };
    await using dynamo = new DynamoProcess(['up', '--processes', ...FAST], { env });
    const url = await dynamo.ready();
    await rm(folder, { recursive: true });
    expect(dynamo.out).toContain('on 2 mocker workers');
    expect(dynamo.err).toMatch(/^dynamo up: .* DYN_HTTP_PROT .* did you mean DYN_HTTP_PORT\?\n$/);
    const pids = dynamo.processIds();
    expect([...pids.keys()]).toEqual(['frontend', 'worker-1', 'worker-2']);
    const dead = pids.get('worker-1') ?? 0;
    process.kill(dead, 'SIGKILL');
    await vi.waitFor(() => expect(dynamo.err).toContain('service ended; starting it again'));
    expect((await complete(url)).status).toBe(200);
    await vi.waitFor(
      async () => {
        const health = (await (await fetch(`${url}/health`)).json()) as { instances: unknown[] };
        expect(health.instances).toHaveLength(2);
      },
      { timeout: DYNAMO_START_TIMEOUT_MS, interval: 100 },
    );
    dynamo.child.kill('SIGTERM');
    expect(await dynamo.exit).toBe(0);
    for (const pid of pids.values()) expect(isAlive(pid)).toBe(false);
  });

  it('lets one of two that want the same port win, and the other say so and end', async () => {
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const args = ['up', '--processes', '--speedup-ratio', '0', '--port', String(port)];
    await using first = new DynamoProcess(args);
    await using second = new DynamoProcess(args);
    const loser = await Promise.race(
      [first, second].map(async (dynamo) => dynamo.exit.then(() => dynamo)),
    );
    expect(await loser.exit).toBe(1);
    expect(loser.out).toBe('');
    await vi.waitFor(() => expect(loser.err).toMatch(/^dynamo up: .*--http-port$/m));
    const winner = loser === first ? second : first;
    expect(new URL(await winner.ready()).port).toBe(String(port));
  });

  it('leaves no process behind when it is killed', async () => {
    await using dynamo = new DynamoProcess(['up', '--processes', ...FAST]);
    await dynamo.ready();
    const pids = [...dynamo.processIds().values()];
    expect(pids.every(isAlive)).toBe(true);
    dynamo.child.kill('SIGKILL');
    await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), 15_000);
  });
});

describe('dynamo', { timeout: DYNAMO_START_TIMEOUT_MS }, () => {
  it('tells its version and lists its commands', async () => {
    await using version = new DynamoProcess(['--version']);
    expect(await version.exit).toBe(0);
    await vi.waitFor(() => expect(version.out).toMatch(/^dynamo \d+\.\d+\.\d+\n$/));
    await using help = new DynamoProcess([]);
    expect(await help.exit).toBe(0);
    await vi.waitFor(() => expect(help.out).toContain('doctor'));
  });

  it('doctor says what is there and what is not', async () => {
    const args = ['doctor', '--etcd-endpoints=http://127.0.0.1:1'];
    const server = createHttpServer((_request, response) => response.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    args.push(`--port=${port}`);
    await using doctor = new DynamoProcess(args, { env: { DYN_KVBM: '1', DYN_HTTP_PROT: '1' } });
    expect(await doctor.exit).toBe(0);
    await vi.waitFor(() => expect(doctor.out).toContain('"dynamo up" can run here'));
    expect(doctor.out).toMatch(/^ok +native addon +loads$/m);
    expect(doctor.out).toMatch(/^ok +zeromq +loads/m);
    expect(doctor.out).toContain('DYN_HTTP_PROT (did you mean DYN_HTTP_PORT?), DYN_KVBM\n');
    await new Promise((resolve) => server.close(resolve));
    expect(doctor.out).toContain(`port ${port} `);
    expect(doctor.out).toContain('something healthy answers there already');
    expect(doctor.out).toMatch(/^- +etcd +nothing answers at http:\/\/127\.0\.0\.1:1/m);
  });

  it('says in one line that its answer cannot be written', async () => {
    const full = await open('/dev/full', 'w');
    await using help = new DynamoProcess(['--help'], { stdout: full.fd });
    expect(await help.exit).toBe(1);
    await vi.waitFor(() => expect(help.err).toContain('free space on that disk'));
    expect(help.err.trim().split('\n')).toHaveLength(1);
    await full.close();
  });

  it('asks the status server where the frontend shows no decisions, and says what was wrong with the first', async () => {
    const server = createHttpServer((_request, response) => response.end('{"decisions":[]}'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const env = { DYN_HTTP_PORT: '1', DYN_SYSTEM_PORT: String(port) };
    await using found = new DynamoProcess(['explain', '--last'], { env });
    await found.exit;
    await vi.waitFor(() => expect(found.err).toContain(`recorded at http://127.0.0.1:${port} yet`));
    await new Promise((resolve) => server.close(resolve));
    await using lost = new DynamoProcess(['explain', '--last'], { env });
    expect(await lost.exit).toBe(1);
    await vi.waitFor(() => expect(lost.err).toContain('nothing answers at http://127.0.0.1:1;'));
  });

  it('runs one service', async () => {
    await using help = new DynamoProcess(['worker', '--help']);
    expect(await help.exit).toBe(0);
    await vi.waitFor(() => expect(help.out).toContain('Usage: dynamo worker [flags]'));
  });
});
