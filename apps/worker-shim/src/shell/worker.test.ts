import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { DynamoError, Lifecycle } from '@dynamo-ts/base';
import { loadConfig } from '@dynamo-ts/config';
import { CardFileCache } from '@dynamo-ts/preprocess';
import {
  ActiveLoad,
  FinishReason,
  GenerateRequest,
  GenerateResponse,
  ModelFileChunk,
  ModelFileRequest,
  ModelRecord,
  MODEL_CARDS_PREFIX,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Context, DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { Client, Planes, ResponseSink } from '@dynamo-ts/runtime';
import { HealthState, createTelemetry } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { WORKER_OPTIONS } from '../config.ts';
import type { WorkerConfig } from '../config.ts';
import { EchoEngine } from '../engines/echo.ts';
import type { Engine, EngineFacts, EngineHost } from '../engines/engine.ts';
import { loadModelText } from './model/model-source.ts';
import { Worker } from './worker.ts';

const PATH = { namespace: 'dynamo', component: 'backend', endpoint: 'generate' };

function configOf(...flags: string[]): WorkerConfig {
  const argv = ['--graceful-shutdown-grace-period=0', ...flags];
  return loadConfig(WORKER_OPTIONS, { argv, env: {}, command: 'test worker', summary: '' }).config;
}

/** An engine that answers when the test says so and dies when the test says so. */
class HeldEngine implements Engine {
  readonly kind = 'openai';
  readonly sinks: ResponseSink[] = [];
  starts = 0;
  failuresLeft = 0;
  #host: EngineHost | undefined;

  start({ host }: { readonly host: EngineHost }): Promise<EngineFacts> {
    this.starts += 1;
    this.#host = host;
    if (this.failuresLeft > 0) {
      this.failuresLeft -= 1;
      return Promise.reject(new DynamoError('backend.engine_shutdown', 'not yet'));
    }
    return Promise.resolve({
      modelNames: ['held'],
      input: 'text',
      contextLength: 100,
      blockSize: 16,
      totalKvBlocks: 10,
      maxSeqs: 1,
      maxBatchedTokens: 0,
      dataParallelSize: 1,
    });
  }

  generate(_request: GenerateRequest, sink: ResponseSink): void {
    this.sinks.push(sink);
  }

  load() {
    return [];
  }

  die(): void {
    this.#host?.crashed(new Error('boom'));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

describe('Worker', () => {
  let planes: Planes;
  let folder: string;
  const runtimes: DistributedRuntime[] = [];
  const telemetry = createTelemetry({ service: 'test', logFilter: 'off' });
  const { logger } = telemetry;

  async function connect(): Promise<DistributedRuntime> {
    const runtime = await DistributedRuntime.connect({ ...planes, logger });
    runtimes.push(runtime);
    return runtime;
  }

  async function startWorker(engine: Engine, config: WorkerConfig = configOf()) {
    const runtime = await connect();
    const health = new HealthState();
    const cache = new CardFileCache({ directory: folder });
    const worker = new Worker({
      config,
      runtime,
      engine,
      cache,
      health,
      path: PATH,
      telemetry,
      logger,
    });
    const lifecycle = new Lifecycle({ drainTimeoutMs: 200, onError: () => undefined });
    worker.joinLifecycle(lifecycle);
    return { worker, lifecycle, health, runtime };
  }

  async function client(): Promise<Client> {
    const runtime = await connect();
    return runtime.endpoint('dynamo.backend.generate').client();
  }

  async function open(from: Client, request: Partial<GenerateRequest>, context = new Context()) {
    const payload = GenerateRequest.encode(GenerateRequest.fromPartial(request)).finish();
    const [instanceId] = from.instanceIds();
    return from.openRaw(instanceId!, payload, context);
  }

  async function models(): Promise<ModelRecord[]> {
    const records = await planes.discovery.list(MODEL_CARDS_PREFIX);
    return records.map(({ value }) =>
      ModelRecord.fromJSON(JSON.parse(new TextDecoder().decode(value))),
    );
  }

  async function echo(tokenDelayMs = 0): Promise<EchoEngine> {
    const cache = new CardFileCache({ directory: folder });
    const { vocabulary } = await loadModelText({ kind: 'builtin' }, cache);
    return new EchoEngine({ vocabulary, tokenDelayMs, contextLength: 1000, blockSize: 16 });
  }

  beforeEach(async () => {
    planes = createLocalPlanes();
    folder = await mkdtemp(join(tmpdir(), 'worker-test-'));
  });

  afterEach(async () => {
    await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
    await planes.close();
    await rm(folder, { recursive: true });
  });

  it('registers card and instance and answers through the runtime', async () => {
    const { worker, lifecycle, health } = await startWorker(
      await echo(),
      configOf('--model-name=m'),
    );
    await worker.start();
    expect(health.snapshot().status).toBe('ready');
    const [record] = await models();
    expect(record?.card).toMatchObject({
      displayName: 'm',
      modelInput: 'tokens',
      contextLength: 1000,
    });
    const caller = await client();
    await caller.waitForInstances();
    // 257 and 258 are control tokens of the built-in model
    const prompt = Uint32Array.of(257, 72, 105, 33, 258);
    const response = await open(caller, {
      tokenIdsLe: tokenIdsToBytes(prompt),
      stopConditions: { maxTokens: 2, ignoreEos: false, stop: [], stopTokenIdsLe: Buffer.of() },
    });
    const items = [];
    for await (const item of response) items.push(GenerateResponse.decode(item));
    const ids = items.flatMap(({ tokenIdsLe }) => [...tokenIdsFromBytes(tokenIdsLe)]);
    expect(ids).toEqual([72, 105]);
    expect(items.at(-1)).toMatchObject({
      finishReason: FinishReason.FINISH_REASON_LENGTH,
      usage: { promptTokens: 5, completionTokens: 2 },
    });
    await lifecycle.close();
    expect(await models()).toEqual([]);
    expect(caller.instanceIds()).toEqual([]);
  });

  it('serves the files of its card to frontends', async () => {
    const { worker, lifecycle, runtime } = await startWorker(new HeldEngine());
    await worker.start();
    const caller = await (await connect()).endpoint('dynamo.backend.model_files').client();
    await caller.waitForInstances();
    const payload = ModelFileRequest.encode({ blake3: 'unknown', offset: 0n }).finish();
    const response = await caller.openRaw(runtime.instanceId, payload, new Context());
    await expect(
      response.nextBatch().then((batch) => ModelFileChunk.decode(batch![0]!)),
    ).rejects.toMatchObject({
      code: 'request.not_found',
    });
    await lifecycle.close();
  });

  it('publishes its load when it changes', async () => {
    const { worker, lifecycle, runtime } = await startWorker(await echo(5));
    const stop = new AbortController();
    const events = planes.events.subscribe(
      { scope: { namespace: 'dynamo', component: 'backend' }, topic: 'load_metrics' },
      { signal: stop.signal },
    );
    const loads: ActiveLoad[] = [];
    const reading = (async () => {
      for await (const { payload } of events) loads.push(ActiveLoad.decode(payload));
    })().catch(() => undefined);
    await worker.start();
    const caller = await client();
    await caller.waitForInstances();
    const prompt = tokenIdsToBytes(new Uint32Array(20).fill(65)) as Buffer;
    for await (const _ of await open(caller, { tokenIdsLe: prompt }));
    await vi.waitFor(() => {
      expect(loads.some(({ activeRequests }) => activeRequests === 1)).toBe(true);
      expect(loads.at(-1)).toMatchObject({ workerId: runtime.instanceId, activeRequests: 0 });
    });
    stop.abort();
    await reading;
    await lifecycle.close();
  });

  it('stops an echo whose caller has gone', async () => {
    const engine = await echo(1000);
    const { worker, lifecycle } = await startWorker(engine);
    await worker.start();
    const caller = await client();
    await caller.waitForInstances();
    const context = new Context();
    await open(caller, { tokenIdsLe: tokenIdsToBytes(new Uint32Array(20).fill(65)) }, context);
    await vi.waitFor(() => expect(engine.load()[0]?.activeRequests).toBe(1));
    context.kill();
    await vi.waitFor(() => expect(engine.load()[0]?.activeRequests).toBe(0));
    await lifecycle.close();
  });

  it('waits for an engine that does not answer yet, and is unknown until then', async () => {
    const engine = new HeldEngine();
    engine.failuresLeft = 1;
    const { worker, lifecycle, health } = await startWorker(engine);
    const starting = worker.start();
    await vi.waitFor(() => expect(engine.starts).toBe(1));
    expect(await models()).toEqual([]);
    expect(health.snapshot().status).toBe('notready');
    await starting;
    expect(engine.starts).toBe(2);
    expect(await models()).toHaveLength(1);
    await lifecycle.close();
  });

  it('deregisters when the engine dies, lets its requests move, and registers again', async () => {
    const engine = new HeldEngine();
    const { worker, lifecycle, health } = await startWorker(engine);
    await worker.start();
    const caller = await client();
    await caller.waitForInstances();
    const response = await open(caller, {});
    const batch = response.nextBatch();
    await vi.waitFor(() => expect(engine.sinks).toHaveLength(1));
    engine.die();
    await expect(batch).rejects.toMatchObject({ code: 'backend.engine_shutdown', retryable: true });
    await vi.waitFor(async () => expect(await models()).toEqual([]));
    expect(health.snapshot().status).toBe('notready');
    await vi.waitFor(() => expect(engine.starts).toBe(2), { timeout: 3000 });
    await vi.waitFor(async () => expect(await models()).toHaveLength(1));
    expect(health.snapshot().status).toBe('ready');
    await lifecycle.close();
  });

  it('closes an engine that hangs, lets its requests move, and registers it when it gives tokens again', async () => {
    const engine = new HeldEngine();
    const flags = ['--engine-first-token-timeout=100ms', '--health-check-request-timeout=1'];
    const { worker, lifecycle } = await startWorker(engine, configOf(...flags));
    await worker.start();
    const caller = await client();
    await caller.waitForInstances();
    const batch = (await open(caller, {})).nextBatch();
    await expect(batch).rejects.toMatchObject({ code: 'backend.engine_shutdown', retryable: true });
    await vi.waitFor(async () => expect(await models()).toEqual([]));
    // It is up again, and is asked for a token before anybody else sees it.
    await vi.waitFor(() => expect(engine.sinks).toHaveLength(2), { timeout: 3000 });
    expect(await models()).toEqual([]);
    engine.sinks[1]!.write(new Uint8Array());
    await vi.waitFor(async () => expect(await models()).toHaveLength(1));
    await lifecycle.close();
  });

  it('refuses what is beyond its limits before it accepts it', async () => {
    const engine = new HeldEngine();
    const config = configOf('--engine-request-limit=1', '--request-queue-limit=2');
    const { worker, lifecycle } = await startWorker(engine, config);
    await worker.start();
    const caller = await client();
    await caller.waitForInstances();
    const answers = [await open(caller, {}), await open(caller, {}), await open(caller, {})];
    await expect(open(caller, {})).rejects.toMatchObject({ code: 'capacity.worker_overloaded' });
    expect(caller.free()).toEqual([]);
    expect(engine.sinks).toHaveLength(1);
    engine.sinks[0]!.end();
    expect(await answers[0]!.nextBatch()).toBeUndefined();
    expect(engine.sinks).toHaveLength(2);
    await lifecycle.close();
  });

  it('lets requests finish when it stops, and cuts off those that do not', async () => {
    const engine = new HeldEngine();
    const config = configOf('--graceful-shutdown-grace-period=50ms');
    const { worker, lifecycle, health } = await startWorker(engine, config);
    await worker.start();
    const caller = await client();
    await caller.waitForInstances();
    const finishing = (await open(caller, {})).nextBatch();
    const hanging = (await open(caller, {})).nextBatch();
    await vi.waitFor(() => expect(engine.sinks).toHaveLength(2));
    const closed = lifecycle.close();
    expect(health.snapshot().status).toBe('notready');
    engine.sinks[0]!.end();
    await expect(finishing).resolves.toBeUndefined();
    await expect(hanging).rejects.toMatchObject({ code: 'backend.engine_shutdown' });
    await closed;
    expect(await models()).toEqual([]);
  });

  it('does not register an engine that comes up while the worker stops', async () => {
    const engine = new HeldEngine();
    engine.failuresLeft = 1000;
    const { worker, lifecycle } = await startWorker(engine);
    const starting = worker.start();
    await vi.waitFor(() => expect(engine.starts).toBe(1));
    await lifecycle.close();
    await expect(starting).rejects.toMatchObject({ code: 'runtime.closed' });
    expect(await models()).toEqual([]);
  });
});
