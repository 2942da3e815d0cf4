/** A worker's KV events end to end: engine sockets or mocker → shim → event plane and queries → a router's index. */
import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import { loadConfig } from '@dynamo-ts/config';
import { ScriptedPublisher } from '@dynamo-ts/engine-events/testing';
import {
  GenerateRequest,
  GenerateResponse,
  MODEL_CARDS_PREFIX,
  ModelRecord,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Context, DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { Planes } from '@dynamo-ts/runtime';
import { createTelemetry } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { WORKER_OPTIONS, createWorkerShim } from '../src/index.ts';
import { KvFollower } from './kv-follower.ts';
import { RECORDED_BLOCK_SIZE, blocksAfter, recordedFrames } from './recorded-events.ts';
import { ScriptedEngine, events } from './scripted-engine.ts';

const FRAMES = recordedFrames();
const ANSWER = events(
  { choices: [{ index: 0, text: 'x', token_ids: [5], finish_reason: 'stop', stop_reason: null }] },
  '[DONE]',
);

function vllmScript(publisher: ScriptedPublisher, blockSize = RECORDED_BLOCK_SIZE) {
  return {
    'GET /v1/models': { data: [{ id: 'tiny', max_model_len: 4096 }] },
    'POST /v1/completions': ANSWER,
    'GET /kv_event_sources': {
      0: {
        enable_kv_cache_events: true,
        publisher: 'zmq',
        endpoint: publisher.endpoint.replace('127.0.0.1', '*'),
        replay_endpoint: publisher.replayEndpoint.replace('127.0.0.1', '*'),
        topic: 'kv-events',
      },
    },
    'GET /metrics': ({ response }: { response: { end(page: string): void } }) => {
      response.end(`vllm:cache_config_info{block_size="${blockSize}",num_gpu_blocks="64"} 1.0\n`);
    },
  };
}

describe('KV events of a worker', () => {
  const closers: (() => Promise<void>)[] = [];
  let planes: Planes;

  beforeEach(() => {
    planes = createLocalPlanes();
    closers.push(() => planes.close());
  });

  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  async function connect(): Promise<DistributedRuntime> {
    const runtime = await DistributedRuntime.connect({ ...planes, logger: silent().logger });
    closers.push(() => runtime.close());
    return runtime;
  }

  function silent() {
    return createTelemetry({ service: 'test', logFilter: 'off' });
  }

  /** A worker that is followed from before its start. */
  async function startWorker(blockSize: number, ranks: number, ...argv: string[]) {
    const telemetry = silent();
    const runtime = await connect();
    const { instanceId: workerId } = runtime;
    const follower = await KvFollower.start({
      runtime: await connect(),
      workerId,
      blockSize,
      ranks,
    });
    closers.push(() => follower.close());
    const flags = ['--graceful-shutdown-grace-period=0', ...argv];
    const { config } = loadConfig(WORKER_OPTIONS, {
      argv: flags,
      env: {},
      command: '',
      summary: '',
    });
    const worker = createWorkerShim(config, { runtime, telemetry });
    closers.push(() => worker.close());
    await worker.start();
    const metric = async (pattern: RegExp) =>
      Number(pattern.exec(await telemetry.metrics.text())?.[1] ?? Number.NaN);
    return { follower, metric, worker, workerId };
  }

  async function startVllm(blockSize?: number) {
    const publisher = await ScriptedPublisher.start();
    closers.push(() => publisher.close());
    const server = await ScriptedEngine.start(vllmScript(publisher, blockSize));
    closers.push(() => server.close());
    return { publisher, server, flags: ['--engine=openai', `--engine-url=${server.url}`] };
  }

  async function card() {
    const [record] = await planes.discovery.list(MODEL_CARDS_PREFIX);
    return record === undefined
      ? undefined
      : ModelRecord.fromJSON(JSON.parse(new TextDecoder().decode(record.value))).card;
  }

  async function generate(
    workerId: DistributedRuntime['instanceId'],
    tokenIds: Uint32Array,
    dpRank?: number,
  ) {
    const client = await (await connect()).endpoint('dynamo.backend.generate').client();
    closers.push(() => client.close());
    const request = GenerateRequest.fromPartial({
      tokenIdsLe: Buffer.from(tokenIdsToBytes(tokenIds)),
      stopConditions: { maxTokens: 4, ignoreEos: true },
      ...(dpRank === undefined ? {} : { routing: { dpRank } }),
    });
    const payload = GenerateRequest.encode(request).finish();
    let last: GenerateResponse | undefined;
    for await (const item of await client.openRaw(workerId, payload, new Context())) {
      last = GenerateResponse.decode(item);
    }
    return last;
  }

  const prompt = (length: number, first: number) =>
    Uint32Array.from({ length }, (_, index) => 32 + ((first + index * 7) % 90));

  it('of the mocker tell every rank what it can reuse', async () => {
    const flags = ['--engine=mocker', '--block-size=16', '--speedup-ratio=0', '--dp-size=2'];
    const { follower, metric, workerId } = await startWorker(16, 2, ...flags);
    expect((await card())?.runtimeConfig).toMatchObject({ kvEvents: true, dataParallelSize: 2 });
    const ids = prompt(165, 1);
    await generate(workerId, ids, 1);
    await vi.waitFor(() => {
      expect(follower.overlap(computeBlockHashForSeq(ids, 16), 1)).toBe(10);
    });
    expect(follower.held(0).size).toBe(0);
    expect(follower.held(1).size).toBe(follower.indexed);
    expect((await generate(workerId, ids, 1))?.usage?.cachedTokens).toBe(160);
    expect(await metric(/kv_publisher_blocks\{.*\} (\d+)/)).toBe(follower.held(1).size);
  });

  it('are answered to a router that starts later', async () => {
    const { follower, workerId } = await startWorker(16, 1, '--engine=mocker', '--block-size=16');
    const ids = prompt(100, 5);
    await generate(workerId, ids);
    await vi.waitFor(() => {
      expect(follower.held().size).toBe(6);
    });
    const late = await KvFollower.start({ runtime: await connect(), workerId, blockSize: 16 });
    closers.push(() => late.close());
    await late.restore();
    expect(late.indexed).toBe(6);
    expect(late.overlap(computeBlockHashForSeq(ids, 16))).toBe(6);
    await generate(workerId, prompt(40, 50));
    await vi.waitFor(() => {
      expect(late.indexed).toBe(8);
    });
  });

  it('are none for an engine that publishes none', async () => {
    await startWorker(64, 1, '--engine=echo');
    expect((await card())?.runtimeConfig?.kvEvents).toBe(false);
    const queries = await (
      await connect()
    )
      .endpoint('dynamo.backend.worker_kv_indexer_query')
      .client();
    closers.push(() => queries.close());
    expect(queries.instanceIds()).toEqual([]);
  });

  it('are told to be none by an engine that reuses nothing', async () => {
    const flags = ['--engine=mocker', '--no-enable-prefix-caching'];
    const { follower, workerId } = await startWorker(64, 1, ...flags);
    await generate(workerId, prompt(200, 1));
    await follower.restore();
    expect((await card())?.runtimeConfig?.kvEvents).toBe(true);
    expect(follower.indexed).toBe(0);
  });

  it('of vLLM arrive, those from before the worker included', async () => {
    const { flags, publisher } = await startVllm();
    publisher.kept.push(...FRAMES.slice(0, 10));
    const { follower, metric } = await startWorker(RECORDED_BLOCK_SIZE, 1, ...flags);
    await publisher.subscribed();
    for (const frame of FRAMES.slice(10)) await publisher.publish(frame);
    const truth = await blocksAfter(FRAMES);
    await vi.waitFor(() => {
      expect(follower.held().size).toBe(truth);
    });
    expect(follower.indexed).toBe(truth);
    expect((await card())?.kvCacheBlockSize).toBe(RECORDED_BLOCK_SIZE);
    expect(await metric(/zmq_events_total\{.*stage="received",event_type="stored".*\} (\d+)/)).toBe(
      17,
    );
    expect(
      await metric(/zmq_events_total\{.*stage="received",event_type="removed".*\} (\d+)/),
    ).toBe(8);
  });

  it('of vLLM are complete in spite of lost, repeated and reordered frames', async () => {
    const { flags, publisher } = await startVllm();
    const { follower } = await startWorker(RECORDED_BLOCK_SIZE, 1, ...flags);
    await publisher.subscribed();
    publisher.kept.push(...FRAMES);
    const order = [0, 1, 1, 0, 4, 2, 3, 9, 9, 12, 10, 11, 15, 0, 19];
    for (const at of order) await publisher.send(FRAMES[at]!);
    const truth = await blocksAfter(FRAMES);
    await vi.waitFor(() => {
      expect(follower.held().size).toBe(truth);
      expect(follower.indexed).toBe(truth);
    });
    expect(follower.clears).toBe(0);
  });

  it('of vLLM are dropped when some are lost for good, and grow anew', async () => {
    const { flags, publisher } = await startVllm();
    const { follower, metric } = await startWorker(RECORDED_BLOCK_SIZE, 1, ...flags);
    await publisher.subscribed();
    for (const frame of FRAMES.slice(0, 3)) await publisher.publish(frame);
    const before = await blocksAfter(FRAMES.slice(0, 3));
    await vi.waitFor(() => {
      expect(follower.held().size).toBe(before);
    });
    publisher.kept.length = 0;
    for (const frame of FRAMES.slice(9)) await publisher.publish(frame);
    await vi.waitFor(() => {
      expect(follower.clears).toBe(1);
    });
    const truth = await blocksAfter(FRAMES.slice(9));
    await vi.waitFor(() => {
      expect(follower.held().size).toBe(truth);
    });
    expect(await metric(/engines_dropped_events_total\{.*\} (\d+)/)).toBe(6);
  });

  it('begin anew when the publisher restarts behind a living server', async () => {
    const { flags, publisher } = await startVllm();
    const { follower } = await startWorker(RECORDED_BLOCK_SIZE, 1, ...flags);
    await publisher.subscribed();
    for (const frame of FRAMES.slice(0, 5)) await publisher.publish(frame);
    await vi.waitFor(async () => {
      expect(follower.held().size).toBe(await blocksAfter(FRAMES.slice(0, 5)));
    });
    await publisher.restart();
    // What a new engine sends: numbers from 0, later clock.
    const fresh = FRAMES.slice(5, 9).map(({ payload }, at) => ({ sequence: BigInt(at), payload }));
    publisher.kept.push(...fresh.slice(0, 2));
    await publisher.subscribed();
    for (const frame of fresh.slice(2)) await publisher.publish(frame);
    const truth = await blocksAfter(fresh);
    await vi.waitFor(() => {
      expect(follower.clears).toBeGreaterThan(0);
      expect(follower.held().size).toBe(truth);
      expect(follower.indexed).toBe(truth);
    });
  });

  it('are gone as soon as the engine is, and come back with it', async () => {
    const { flags, publisher, server } = await startVllm();
    const { follower } = await startWorker(RECORDED_BLOCK_SIZE, 1, ...flags);
    await publisher.subscribed();
    for (const frame of FRAMES) await publisher.publish(frame);
    const truth = await blocksAfter(FRAMES);
    await vi.waitFor(() => {
      expect(follower.indexed).toBe(truth);
    });
    const port = Number(new URL(server.url).port);
    await server.close();
    await publisher.close();
    await vi.waitFor(async () => {
      expect(await card()).toBeUndefined();
      expect(follower.held().size).toBe(0);
      expect(follower.indexed).toBe(0);
    }, 6000);
    await publisher.restart();
    publisher.kept.push(...FRAMES.slice(0, 5));
    const again = await ScriptedEngine.start(vllmScript(publisher), port);
    closers.push(() => again.close());
    await publisher.subscribed();
    const fewer = await blocksAfter(FRAMES.slice(0, 5));
    await vi.waitFor(() => {
      expect(follower.held().size).toBe(fewer);
      expect(follower.indexed).toBe(fewer);
    }, 6000);
    expect(follower.epochs.size).toBe(2);
  });

  it('of another block size than the card has are counted and ignored', async () => {
    const { flags, publisher } = await startVllm(16);
    const { follower, metric } = await startWorker(16, 1, ...flags);
    await publisher.subscribed();
    for (const frame of FRAMES) await publisher.publish(frame);
    await vi.waitFor(async () => {
      expect(await metric(/conversion_issues_total\{.*reason="block_size".*\} (\d+)/)).toBe(17);
    });
    expect(follower.held().size).toBe(0);
  });

  it('that cannot be read empty the rank, and the worker goes on', async () => {
    const { flags, publisher } = await startVllm();
    const { follower, metric } = await startWorker(RECORDED_BLOCK_SIZE, 1, ...flags);
    await publisher.subscribed();
    await publisher.publish(FRAMES[0]!);
    await vi.waitFor(() => {
      expect(follower.held().size).toBeGreaterThan(0);
    });
    await publisher.publish({ sequence: 1n, payload: Buffer.from('93ff', 'hex') });
    await publisher.sendRaw(['kv-events', 'x']);
    await vi.waitFor(() => {
      expect(follower.held().size).toBe(0);
    });
    await publisher.publish({ sequence: 2n, payload: FRAMES[9]!.payload });
    await vi.waitFor(() => {
      expect(follower.held().size).toBeGreaterThan(0);
    });
    expect(await metric(/malformed_messages_total\{.*problem="frame-count".*\} (\d+)/)).toBe(1);
  });
});
