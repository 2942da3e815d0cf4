/** A worker whose engine sleeps and wakes up, as its callers see it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Lifecycle } from '@dynamo-ts/base';
import { loadConfig } from '@dynamo-ts/config';
import { CardFileCache } from '@dynamo-ts/preprocess';
import {
  GenerateRequest,
  GenerateResponse,
  KvEventBatch,
  MODEL_CARDS_PREFIX,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Context, DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { Client, Planes, RawResponse } from '@dynamo-ts/runtime';
import { HealthState, createTelemetry } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { WORKER_OPTIONS } from '../src/config.ts';
import { createEngine } from '../src/shell/create-engine.ts';
import { Worker } from '../src/shell/worker.ts';

const PATH = { namespace: 'dynamo', component: 'backend', endpoint: 'generate' };

describe('a worker with a mocker', { timeout: 30_000 }, () => {
  const telemetry = createTelemetry({ service: 'test', logFilter: 'off' });
  const { logger } = telemetry;
  let planes: Planes;
  let folder: string;
  let runtime: DistributedRuntime;
  let caller: Client;
  let worker: Worker;
  let lifecycle: Lifecycle;
  let health: HealthState;
  /** What routers are told of its cache. */
  const kinds: (string | undefined)[] = [];
  const listening = new AbortController();

  beforeEach(async () => {
    planes = createLocalPlanes();
    folder = await mkdtemp(join(tmpdir(), 'worker-sleep-'));
    runtime = await DistributedRuntime.connect({ ...planes, logger });
    caller = await runtime.endpoint('dynamo.backend.generate').client();
    const scope = { namespace: 'dynamo', component: 'backend' };
    const events = planes.events.subscribe({ scope, topic: 'kv-events' }, listening);
    void (async () => {
      for await (const { payload } of events)
        kinds.push(...KvEventBatch.decode(payload).events.map(({ data }) => data?.$case));
    })().catch(() => undefined);
  });

  afterEach(async () => {
    await lifecycle.close();
    await runtime.close();
    await planes.close();
    await rm(folder, { recursive: true });
    kinds.length = 0;
  });

  async function start(...flags: string[]): Promise<void> {
    const argv = ['--graceful-shutdown-grace-period=0', '--block-size=16', ...flags];
    const { config } = loadConfig(WORKER_OPTIONS, { argv, env: {}, command: 'test', summary: '' });
    const cache = new CardFileCache({ directory: folder });
    const engine = await createEngine({ config, cache, logger });
    health = new HealthState();
    const own = { config, runtime, engine, cache, health, path: PATH, telemetry, logger };
    worker = new Worker(own);
    lifecycle = new Lifecycle({ drainTimeoutMs: 1000, onError: () => undefined });
    worker.joinLifecycle(lifecycle);
    await worker.start();
    await caller.waitForInstances();
  }

  async function open(maxTokens: number): Promise<RawResponse> {
    const request = GenerateRequest.fromPartial({
      tokenIdsLe: Buffer.from(tokenIdsToBytes(new Uint32Array(64).fill(65))),
      stopConditions: { maxTokens, ignoreEos: true },
    });
    const [instanceId] = caller.instanceIds();
    return caller.openRaw(instanceId!, GenerateRequest.encode(request).finish(), new Context());
  }

  async function lastOf(response: RawResponse): Promise<GenerateResponse | undefined> {
    let last: GenerateResponse | undefined;
    for await (const item of response) last = GenerateResponse.decode(item);
    return last;
  }

  const cards = async () => (await planes.discovery.list(MODEL_CARDS_PREFIX)).length;

  it('leaves first, lets requests finish, loses its cache, and comes back', async () => {
    await start('--speedup-ratio=20');
    const running = await open(40);
    expect(await running.nextBatch()).toBeDefined();
    const sleeping = worker.sleepMode.sleep(1);
    await vi.waitFor(() => expect(caller.instanceIds()).toEqual([]));
    expect((await lastOf(running))?.usage?.completionTokens).toBe(40);
    expect(await sleeping).toBe('Engine slept (level=1)');
    // Known, and alive, and nobody's to use.
    expect(await cards()).toBe(1);
    expect(health.snapshot().status).toBe('ready');
    await vi.waitFor(() => expect(kinds.at(-1)).toBe('cleared'));
    expect(kinds).toContain('stored');

    expect(await worker.sleepMode.wake()).toBe('Engine woke');
    await vi.waitFor(() => expect(caller.instanceIds()).toHaveLength(1));
    const again = await lastOf(await open(4));
    expect(again?.usage).toMatchObject({ completionTokens: 4, cachedTokens: 0 });
    expect((await lastOf(await open(4)))?.usage?.cachedTokens).toBeGreaterThan(0);
  });

  it('moves requests that do not finish in time', async () => {
    await start('--speedup-ratio=0.1', '--graceful-shutdown-timeout=100ms');
    const running = await open(1000);
    expect(await running.nextBatch()).toBeDefined();
    const reading = lastOf(running);
    const sleeping = worker.sleepMode.sleep(1);
    await expect(reading).rejects.toMatchObject({
      code: 'backend.engine_shutdown',
      retryable: true,
    });
    await sleeping;
  });

  it('is woken up when discovery failed while it left', async () => {
    const { discovery } = planes;
    const register = discovery.register.bind(discovery);
    let isAway = false;
    vi.spyOn(discovery, 'register').mockImplementation(async (record, options) => {
      const registration = await register(record, options);
      const close = (): Promise<void> =>
        isAway ? Promise.reject(new Error('discovery is away')) : registration.close();
      return { close, [Symbol.asyncDispose]: close };
    });
    await start('--speedup-ratio=0');
    isAway = true;
    await expect(worker.sleepMode.sleep(1)).rejects.toThrow('discovery is away');
    await expect(worker.sleepMode.sleep(1)).rejects.toMatchObject({ code: 'request.conflict' });
    isAway = false;
    expect(await worker.sleepMode.wake()).toBe('Engine woke');
    expect((await lastOf(await open(4)))?.usage?.completionTokens).toBe(4);
    vi.restoreAllMocks();
  });

  it('stops while its engine sleeps', async () => {
    await start('--speedup-ratio=0');
    await worker.sleepMode.sleep(1);
    await lifecycle.close();
    expect(await cards()).toBe(0);
    await expect(worker.sleepMode.wake()).rejects.toMatchObject({ code: 'runtime.closed' });
  });
});
