/** The worker as a process of its own, found over file discovery and asked over the gRPC mux. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import {
  ActiveLoad,
  GenerateRequest,
  GenerateResponse,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Context, DistributedRuntime, createPlanes } from '@dynamo-ts/runtime';
import type { Client, Planes, RawResponse } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

describe('worker process', { timeout: 30_000 }, () => {
  let folder: string;
  let planes: Planes;
  let runtime: DistributedRuntime;
  let caller: Client;
  let worker: ChildProcess | undefined;
  let output = '';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'worker-process-'));
    planes = await createPlanes({
      discoveryBackend: 'file',
      requestPlane: 'grpc',
      eventPlane: 'direct',
      fileDiscoveryDir: folder,
      rpcHost: '127.0.0.1',
      logger: nullLogger,
    });
    runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
    caller = await runtime.endpoint('dynamo.backend.generate').client();
  });

  afterEach(async () => {
    worker?.kill('SIGKILL');
    await runtime.close();
    await planes.close();
    await rm(folder, { recursive: true, force: true });
  });

  function run(...flags: string[]): ChildProcess {
    output = '';
    worker = spawn(
      process.execPath,
      [
        ...['--conditions=@dynamo-ts/source', MAIN, '--discovery-backend', 'file'],
        ...['--file-discovery-dir', folder, '--event-plane', 'direct'],
        ...['--rpc-host', '127.0.0.1', '--rpc-advertised-host', '127.0.0.1', ...flags],
      ],
      { env: { PATH: process.env['PATH'] } },
    );
    for (const stream of [worker.stdout, worker.stderr]) {
      stream?.on('data', (text: Buffer) => (output += text.toString()));
    }
    return worker;
  }

  async function ask(tokens: number): Promise<RawResponse> {
    const tokenIdsLe = Buffer.from(tokenIdsToBytes(new Uint32Array(tokens).fill(65)));
    const request = GenerateRequest.fromPartial({ tokenIdsLe });
    const [instanceId] = caller.instanceIds();
    return caller.openRaw(instanceId!, GenerateRequest.encode(request).finish(), new Context());
  }

  async function read(response: RawResponse): Promise<GenerateResponse[]> {
    const responses: GenerateResponse[] = [];
    for await (const item of response) responses.push(GenerateResponse.decode(item));
    return responses;
  }

  it('answers, and on SIGTERM lets requests finish before it ends with 0', async () => {
    const child = run('--engine', 'echo', '--graceful-shutdown-grace-period', '100ms');
    await caller.waitForInstances();
    const response = await ask(100);
    expect(await response.nextBatch()).toBeDefined();
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    expect((await read(response)).at(-1)?.usage?.completionTokens).toBe(100);
    expect(await exited).toEqual([0, null]);
    await vi.waitFor(() => expect(caller.instanceIds()).toEqual([]));
  });

  it('cuts off what does not finish in time, so that it can move', async () => {
    const child = run(
      ...['--engine', 'echo', '--token-echo-delay', '1s'],
      ...['--graceful-shutdown-grace-period', '0', '--graceful-shutdown-timeout', '200ms'],
    );
    await caller.waitForInstances();
    const response = await ask(100);
    child.kill('SIGTERM');
    await expect(read(response)).rejects.toMatchObject({ code: 'backend.engine_shutdown' });
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('tells other processes its load', async () => {
    const stop = new AbortController();
    const topic = { scope: { namespace: 'dynamo', component: 'backend' }, topic: 'load_metrics' };
    const loads: ActiveLoad[] = [];
    const events = planes.events.subscribe(topic, { signal: stop.signal });
    const reading = (async () => {
      for await (const { payload } of events) loads.push(ActiveLoad.decode(payload));
    })().catch(() => undefined);
    run('--engine', 'mocker', '--speedup-ratio', '100', '--num-gpu-blocks-override', '1000');
    await caller.waitForInstances();
    await vi.waitFor(
      async () => {
        await read(await ask(200));
        expect(loads.some((load) => load.activeRequests > 0)).toBe(true);
      },
      { timeout: 10_000 },
    );
    expect(loads[0]).toMatchObject({ workerId: caller.instanceIds()[0], totalKvBlocks: 1000 });
    stop.abort();
    await reading;
  });

  it('reports its health and its metrics', async () => {
    run(
      '--engine',
      'mocker',
      '--system-port',
      '0',
      '--speedup-ratio',
      '0',
      '--system-host',
      '127.0.0.1',
    );
    await caller.waitForInstances();
    await read(await ask(10));
    const port = /status server listens.*port=(\d+)/.exec(output)?.[1] ?? '';
    const health = await fetch(`http://127.0.0.1:${port}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({
      status: 'ready',
      endpoints: { generate: 'ready' },
    });
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(metrics).toMatch(
      /^dynamo_component_requests_total\{[^}]*dynamo_endpoint="generate"[^}]*\} 1$/m,
    );
  });

  it.each([
    [['--engine', 'llama-server'], /--model-path.*--engine-url/],
    [
      ['--engine', 'llama-server', '--model', MAIN, '--engine-command', 'no-such-engine'],
      /"no-such-engine" was not found; .*--engine-command.*--engine-url/,
    ],
    [['--engine', 'openai'], /--engine-url/],
    [
      ['--engine', 'openai', '--engine-url', 'nowhere'],
      /"nowhere" is not an http or https address/,
    ],
    [['--engine', 'vllm'], /mocker.*echo.*llama-server.*openai/],
    [['--model', '/no/such/model'], /no model at \/no\/such\/model/],
  ])('ends with one clear line for %j', async (flags, message) => {
    const child = run(...flags);
    expect(await once(child, 'exit')).toEqual([1, null]);
    await vi.waitFor(() => expect(output).toMatch(message));
    expect(output.trim().split('\n')).toHaveLength(1);
  });
});
