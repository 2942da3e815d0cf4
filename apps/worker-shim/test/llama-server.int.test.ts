/**
 * The worker in front of a real llama-server. Set DYN_TEST_LLAMA_SERVER to its program and DYN_TEST_GGUF to a chat model;
 * without them these tests are skipped.
 */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { loadConfig } from '@dynamo-ts/config';
import { CardFileCache, ModelPreprocessor } from '@dynamo-ts/preprocess';
import type { StopConditions } from '@dynamo-ts/protocol';
import {
  GenerateRequest,
  GenerateResponse,
  MODEL_CARDS_PREFIX,
  ModelRecord,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Context, DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { Client, Planes, RawResponse } from '@dynamo-ts/runtime';
import { createTelemetry } from '@dynamo-ts/telemetry';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { createWorkerShim } from '../src/app.ts';
import type { WorkerShim } from '../src/app.ts';
import { WORKER_OPTIONS } from '../src/config.ts';

const { DYN_TEST_LLAMA_SERVER: program, DYN_TEST_GGUF: gguf } = process.env;

const isPresent = program !== undefined && gguf !== undefined;
if (!isPresent) {
  process.stderr.write(
    'llama-server tests are skipped: set DYN_TEST_LLAMA_SERVER and DYN_TEST_GGUF\n',
  );
}

describe.runIf(isPresent)('worker with llama-server', { timeout: 60_000 }, () => {
  const telemetry = createTelemetry({ service: 'test', logFilter: 'warn' });
  let folder: string;
  let planes: Planes;
  let shim: WorkerShim;
  let caller: Client;
  let model: ModelPreprocessor;
  const runtimes: DistributedRuntime[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'llama-test-'));
    const wrapper = join(folder, 'llama-server');
    await writeFile(
      wrapper,
      `#!/bin/sh\necho "$$ $*" > ${folder}/started\nexec ${program ?? ''} "$@"\n`,
    );
    await chmod(wrapper, 0o755);
    planes = createLocalPlanes();
    const argv = [
      ...['--engine', 'llama-server', '--model', gguf ?? '', '--engine-command', wrapper],
      ...['--engine-args=--threads 2 --parallel 2 --ctx-size 4096'],
      '--graceful-shutdown-grace-period=0',
    ];
    const { config } = loadConfig(WORKER_OPTIONS, {
      argv,
      env: process.env,
      command: 'test',
      summary: '',
    });
    shim = createWorkerShim(config, { runtime: await connect(), telemetry });
    await shim.start();
    caller = await (await connect()).endpoint('dynamo.backend.generate').client();
    await caller.waitForInstances();
    model = await loadModel();
  }, 60_000);

  afterAll(async () => {
    await shim.close();
    await model.close();
    for (const runtime of runtimes) await runtime.close();
    await planes.close();
    await rm(folder, { recursive: true });
  }, 30_000);

  async function connect(): Promise<DistributedRuntime> {
    const { logger } = telemetry;
    const runtime = await DistributedRuntime.connect({ ...planes, logger });
    runtimes.push(runtime);
    return runtime;
  }

  async function loadModel(): Promise<ModelPreprocessor> {
    const [record] = await planes.discovery.list(MODEL_CARDS_PREFIX);
    const { card } = ModelRecord.fromJSON(JSON.parse(new TextDecoder().decode(record!.value)));
    const files = await new CardFileCache().resolve(card!, {
      fetchChunk: () => Promise.reject(new Error('the publisher is on this machine')),
    });
    return ModelPreprocessor.load({ card: card!, files });
  }

  /** Process id and port of the engine that runs now. */
  async function engine(): Promise<{ pid: number; url: string }> {
    const [pid, ...args] = (await readFile(join(folder, 'started'), 'utf8')).trim().split(' ');
    const port = args[args.indexOf('--port') + 1] ?? '';
    return { pid: Number(pid), url: `http://127.0.0.1:${port}` };
  }

  async function open(
    tokenIds: Uint32Array,
    stop: Partial<StopConditions>,
    context: Context = new Context(),
  ): Promise<RawResponse> {
    const request = GenerateRequest.fromPartial({
      tokenIdsLe: Buffer.from(tokenIdsToBytes(tokenIds)),
      samplingOptions: { temperature: 0 },
      stopConditions: stop,
    });
    const [instanceId] = caller.instanceIds();
    return caller.openRaw(instanceId!, GenerateRequest.encode(request).finish(), context);
  }

  async function chat(text: string): Promise<Uint32Array> {
    // SmolLM2's 4-bit weights answer in broken French under its template's own system message.
    const system = { role: 'system', content: 'You are a helpful assistant.' };
    const body = { messages: [system, { role: 'user', content: text }] };
    return (await model.prepareChat(Buffer.from(JSON.stringify(body)))).tokenIds;
  }

  async function answer(tokenIds: Uint32Array, maxTokens: number) {
    const decoder = model.createDecoder();
    let text = '';
    const responses: GenerateResponse[] = [];
    for await (const item of await open(tokenIds, { maxTokens })) {
      const response = GenerateResponse.decode(item);
      responses.push(response);
      if (!decoder.finished) text += decoder.push(response).text;
    }
    return { text, responses };
  }

  /** What llama-server itself says to the same ids; a character that the limit cuts is left out. */
  async function engineAnswer(tokenIds: Uint32Array, maxTokens: number): Promise<string> {
    const { url } = await engine();
    const body = {
      prompt: [...tokenIds],
      n_predict: maxTokens,
      temperature: 0,
    };
    const response = await fetch(`${url}/completion`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    return ((await response.json()) as { content: string }).content.replace(/\ufffd+$/, '');
  }

  it('answers a question sensibly and exactly as llama-server does', async () => {
    const prompt = await chat('What is the capital of France?');
    await answer(prompt, 1); // computes the prompt, so that both continue from the same cache
    const { text, responses } = await answer(prompt, 60);
    expect(text).toContain('Paris');
    expect(text).toBe(await engineAnswer(prompt, 60));
    expect(responses.at(-1)?.usage?.promptTokens).toBe(prompt.length);
  });

  it('tokenises as llama-server does', async () => {
    const { url } = await engine();
    const content = 'Grüße, 東京! 🎉 don’t\n\n  x = [1,2];';
    const response = await fetch(`${url}/tokenize`, {
      method: 'POST',
      body: JSON.stringify({ content, add_special: false }),
    });
    const { tokens } = (await response.json()) as { tokens: number[] };
    const { tokenIds } = await model.prepareText(content, { addSpecialTokens: false });
    expect([...tokenIds]).toEqual(tokens);
  });

  it('gives every token id of text outside ASCII, which llama-server itself leaves out', async () => {
    const prompt = await chat('How do you say hello in Japanese, Greek and Hindi?');
    await answer(prompt, 1);
    const { text, responses } = await answer(prompt, 80);
    const ids = responses.flatMap(({ tokenIdsLe }) => [...tokenIdsFromBytes(tokenIdsLe)]);
    // The limit may cut the last character, whose ids are then never known.
    const generated = responses.at(-1)?.usage?.completionTokens ?? 0;
    expect(generated - ids.length).toBeLessThan(4);
    expect(new Set(responses.map(({ tokenIdsLe }) => tokenIdsLe.length / 4)).size).toBeGreaterThan(
      2,
    );
    expect(responses.slice(0, -1).every((response) => response.text === undefined)).toBe(true);
    expect(text).toBe(await engineAnswer(prompt, 80));
    expect(text).toMatch(/[^\x00-\x7f]/);
  });

  it('reports a cached prompt', async () => {
    const prompt = await chat('Tell me about rivers and mountains of Europe.');
    await answer(prompt, 4);
    const { responses } = await answer(prompt, 4);
    expect(responses.at(-1)?.usage?.cachedTokens).toBeGreaterThan(prompt.length / 2);
  });

  it('frees the slot when the caller goes', async () => {
    const { url } = await engine();
    const busySlots = async (): Promise<number> => {
      const slots = (await (await fetch(`${url}/slots`)).json()) as { is_processing: boolean }[];
      return slots.filter((slot) => slot.is_processing).length;
    };
    const context = new Context();
    const response = await open(
      await chat('Count to one million.'),
      { maxTokens: 1900, ignoreEos: true },
      context,
    );
    await response.nextBatch();
    expect(await busySlots()).toBe(1);
    const killedMs = performance.now();
    context.kill();
    await vi.waitFor(async () => expect(await busySlots()).toBe(0), { interval: 5 });
    expect(performance.now() - killedMs).toBeLessThan(1000);
  });

  it('refuses a prompt that is too long with both numbers', async () => {
    const response = await open(new Uint32Array(5000).fill(100), { maxTokens: 1 });
    await expect(response.nextBatch()).rejects.toMatchObject({
      code: 'request.context_length',
      details: { prompt_tokens: 5000 },
    });
  });

  it('comes back after the engine was killed, and requests in flight may move', async () => {
    const { pid } = await engine();
    const response = await open(await chat('Count to one million.'), {
      maxTokens: 1900,
      ignoreEos: true,
    });
    await response.nextBatch();
    process.kill(pid, 'SIGKILL');
    await expect(
      (async () => {
        while ((await response.nextBatch()) !== undefined);
      })(),
    ).rejects.toMatchObject({ code: 'backend.engine_shutdown' });
    await vi.waitFor(() => expect(caller.instanceIds()).toEqual([]));
    await vi.waitFor(() => expect(caller.instanceIds()).toHaveLength(1), { timeout: 30_000 });
    expect((await engine()).pid).not.toBe(pid);
    const { text } = await answer(await chat('What is the capital of France?'), 60);
    expect(text).toContain('Paris');
  });
});
