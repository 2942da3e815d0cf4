/** When engines behind HTTP are taken to have left a request that was given up. */
import { GenerateRequest, tokenIdsToBytes } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, describe, expect, it, vi } from 'vitest';

import type { Engine } from '../src/engines/engine.ts';
import { LlamaServerEngine } from '../src/engines/llama-server/llama-server.ts';
import { OpenAiEngine } from '../src/engines/openai/openai.ts';
import { PROPS } from './llama-server-frames.ts';
import { CollectingSink, ScriptedEngine, events } from './scripted-engine.ts';
import type { Script, ScriptedRequest } from './scripted-engine.ts';

const silence = ({ response }: ScriptedRequest): void => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
};

/** Busy for the first three times that it is asked. */
class Busyness {
  asked = 0;
  readonly #page: (isBusy: boolean) => string;

  constructor(page: (isBusy: boolean) => string) {
    this.#page = page;
  }

  readonly answer = ({ response }: ScriptedRequest): void => {
    this.asked += 1;
    response.end(this.#page(this.asked <= 3));
  };
}

describe('a request that was given up', () => {
  const closers: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  async function serve(script: Script): Promise<string> {
    const models = { data: [{ id: 'tiny', max_model_len: 4096 }] };
    const server = await ScriptedEngine.start({ 'GET /v1/models': models, ...script });
    closers.push(() => server.close());
    return server.url;
  }

  async function leave(engine: Engine) {
    await engine.start({ host: { loadChanged: vi.fn(), kvEvents: vi.fn(), crashed: vi.fn() } });
    closers.push(() => engine.close());
    const released = vi.fn();
    const context = new Context();
    const request = GenerateRequest.fromPartial({
      tokenIdsLe: Buffer.from(tokenIdsToBytes(Uint32Array.of(1, 2, 3))),
    });
    engine.generate(request, Object.assign(new CollectingSink(), { released }), context);
    context.kill();
    return released;
  }

  const options = (url: string) => ({
    source: { kind: 'attach', url } as const,
    input: 'tokens' as const,
    modelPath: '/models/tiny',
    blockSize: 64,
    startupTimeoutMs: 5000,
    logger: nullLogger,
  });

  it('is left when llama-server has no busy slot for it', async () => {
    const slots = new Busyness((isBusy) =>
      JSON.stringify([{ is_processing: isBusy }, { is_processing: false }]),
    );
    const url = await serve({
      'GET /health': { status: 'ok' },
      'GET /props': PROPS,
      'POST /completion': silence,
      'GET /slots': slots.answer,
    });
    const vocabulary = {
      flags: new Uint8Array(10),
      eosTokenIds: new Uint32Array(),
      tokenBytes: () => new Uint8Array(),
    };
    const loadVocabulary = () => Promise.resolve(vocabulary);
    const released = await leave(new LlamaServerEngine({ ...options(url), loadVocabulary }));
    await vi.waitFor(() => expect(released).toHaveBeenCalledExactlyOnceWith(true));
    expect(slots.asked).toBe(4);
  });

  it.each([
    ['vLLM runs and keeps waiting nothing of it', 'vllm:num_requests_running', true],
    ['the connection of a server that does not tell has closed', 'other_metric', false],
  ])('is left when %s', async (_name, metric, isAskedAgain) => {
    let isProbed = false;
    const metrics = new Busyness((isBusy) => `${metric}{engine="0"} ${isBusy ? 1 : 0}.0\n`);
    const url = await serve({
      'POST /v1/completions': (request: ScriptedRequest) => {
        if (isProbed) silence(request);
        else events({ choices: [{ index: 0, token_ids: [1], finish_reason: 'length' }] })(request);
        isProbed = true;
        metrics.asked = 0;
      },
      'GET /metrics': metrics.answer,
    });
    const engine = new OpenAiEngine({ ...options(url), dataParallelSize: 1, eventAddresses: [] });
    const released = await leave(engine);
    await vi.waitFor(() => expect(released).toHaveBeenCalledExactlyOnceWith(true));
    expect(metrics.asked > 3).toBe(isAskedAgain);
  });
});
