/** The llama-server adapter against recorded frames of llama.cpp (2026-11). */
import { systemClock } from '@dynamo-ts/base';
import {
  FinishReason,
  GenerateRequest,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, describe, expect, it, vi } from 'vitest';

import type { EngineHost, EngineVocabulary } from '../src/engines/engine.ts';
import { LlamaServerEngine } from '../src/engines/llama-server/llama-server.ts';
import type { LlamaServerOptions } from '../src/engines/llama-server/llama-server.ts';
import { MODELS, PROPS, last, token } from './llama-server-frames.ts';
import { CollectingSink, ScriptedEngine, events, refusal } from './scripted-engine.ts';
import type { Script, ScriptedRequest } from './scripted-engine.ts';

/** Bytes of the ids that the tests use. */
const BYTES: Readonly<Record<number, readonly number[]>> = {
  49: [65],
  151: [0xe6],
  152: [0x97],
  115: [0xa5],
  23274: [0xe6, 0x97],
  504: [84, 104, 101],
};
const VOCABULARY: EngineVocabulary = {
  flags: new Uint8Array(24_000),
  eosTokenIds: Uint32Array.of(2),
  tokenBytes: (id) => Uint8Array.from(BYTES[id] ?? []),
};

describe('LlamaServerEngine', () => {
  const closers: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  async function start(script: Script, options: Partial<LlamaServerOptions> = {}) {
    const server = await ScriptedEngine.start({
      'GET /health': { status: 'ok' },
      'GET /props': PROPS,
      'GET /v1/models': MODELS,
      ...script,
    });
    closers.push(() => server.close());
    const engine = new LlamaServerEngine({
      source: { kind: 'attach', url: server.url },
      input: 'auto',
      modelPath: '/models/model.gguf',
      blockSize: 16,
      startupTimeoutMs: 5000,
      logger: nullLogger,
      loadVocabulary: () => Promise.resolve(VOCABULARY),
      ...options,
    });
    const host = {
      loadChanged: vi.fn(),
      kvEvents: vi.fn(),
      crashed: vi.fn<EngineHost['crashed']>(),
    };
    const facts = await engine.start({ host });
    closers.push(() => engine.close());
    return { server, engine, facts, host };
  }

  function request(
    fields: Parameters<typeof GenerateRequest.fromPartial>[0] = {},
  ): GenerateRequest {
    return GenerateRequest.fromPartial({
      tokenIdsLe: Buffer.from(tokenIdsToBytes(Uint32Array.of(1, 4093, 198))),
      ...fields,
    });
  }

  function ask(
    engine: LlamaServerEngine,
    asked = request(),
    context = new Context(),
  ): CollectingSink {
    const sink = new CollectingSink();
    engine.generate(asked, sink, context);
    return sink;
  }

  it('learns context length, slots and model from the server', async () => {
    const { facts } = await start({});
    expect(facts).toMatchObject({
      modelNames: ['/models/SmolLM2-135M-Instruct.Q4_1.gguf'],
      input: 'tokens',
      contextLength: 2048,
      totalKvBlocks: 512,
      maxSeqs: 4,
    });
  });

  it('sends ids and sampling under the names of llama-server', async () => {
    const { engine, server } = await start({ 'POST /completion': events(last('limit', 0)) });
    const asked = request({
      stopConditions: { maxTokens: 7, minTokens: 7, stop: ['x'] },
      samplingOptions: {
        temperature: 0.5,
        topK: -1,
        topP: 0.9,
        minP: 0.1,
        repetitionPenalty: 1.2,
        seed: 0xffff_ffff_0000_0005n,
        logitBias: { 504: -100 },
        guidedDecoding: { choice: ['a "quote"', 'b'] },
      },
      outputOptions: { logprobs: 0 },
      routing: { cacheSalt: 'tenant' },
    });
    await ask(engine, asked).answer();
    expect(server.bodies).toEqual([
      {
        prompt: [1, 4093, 198],
        stream: true,
        return_tokens: true,
        cache_prompt: false,
        n_predict: 7,
        ignore_eos: true,
        n_probs: 1,
        temperature: 0.5,
        top_k: 0,
        top_p: 0.9,
        min_p: 0.1,
        repeat_penalty: 1.2,
        repeat_last_n: -1,
        seed: Number(0xffff_ffff_0000_0005n % 0xffff_ffffn),
        logit_bias: [[504, -100]],
        grammar: String.raw`root ::= "a \"quote\"" | "b"`,
      },
    ]);
  });

  it('gives ids, and the finish reason and usage with the end of sequence', async () => {
    const { engine } = await start({
      'POST /completion': events(token('The', 504, 1), token('', 2, 2), last('eos', 2)),
    });
    const responses = await ask(engine).answer();
    expect(responses.map(({ tokenIdsLe }) => [...tokenIdsFromBytes(tokenIdsLe)])).toEqual([
      [504],
      [2],
    ]);
    expect(responses.at(-1)).toMatchObject({
      finishReason: FinishReason.FINISH_REASON_EOS,
      usage: { promptTokens: 16, completionTokens: 2, cachedTokens: 15 },
    });
  });

  it('gives the usage with the last token that the limit allows', async () => {
    const { engine } = await start({
      'POST /completion': events(token('The', 504, 1), token('A', 49, 2), last('limit', 2)),
    });
    const responses = await ask(engine, request({ stopConditions: { maxTokens: 2 } })).answer();
    expect(responses).toHaveLength(2);
    expect(responses[1]).toMatchObject({
      finishReason: FinishReason.FINISH_REASON_LENGTH,
      usage: { completionTokens: 2 },
    });
    expect([...tokenIdsFromBytes(responses[1]!.tokenIdsLe)]).toEqual([49]);
  });

  it.each([
    ['eos', FinishReason.FINISH_REASON_EOS],
    ['word', FinishReason.FINISH_REASON_STOP],
    ['limit', FinishReason.FINISH_REASON_LENGTH],
  ])('reads the stop type %s', async (stopType, finishReason) => {
    const { engine } = await start({ 'POST /completion': events(last(stopType, 0)) });
    expect((await ask(engine).answer()).at(-1)?.finishReason).toBe(finishReason);
  });

  it.each([
    ['two ids', 2, [23274, 115]],
    ['three ids', 3, [151, 152, 115]],
  ])('finds the ids of a character that came as %s', async (_name, count, ids) => {
    const { engine } = await start({
      'POST /completion': events(
        token('A', 49, 1),
        token('日', 115, 1 + count),
        last('limit', 1 + count),
      ),
    });
    const [, character] = await ask(engine).answer();
    expect([...tokenIdsFromBytes(character!.tokenIdsLe)]).toEqual(ids);
    expect(character?.text).toBeUndefined();
  });

  it('gives the text when the ids of a character cannot be found', async () => {
    const { engine } = await start({
      'POST /completion': events(token('本', 40993, 2), last('limit', 2)),
    });
    const [character] = await ask(engine).answer();
    expect([...tokenIdsFromBytes(character!.tokenIdsLe)]).toEqual([40993]);
    expect(character?.text).toBe('本');
  });

  it('gives the probabilities that were asked for', async () => {
    const probability = {
      id: 504,
      token: 'The',
      bytes: [84, 104, 101],
      logprob: -0.5,
      top_logprobs: [
        { id: 504, token: 'The', bytes: [84, 104, 101], logprob: -0.5 },
        { id: 60, token: 'L', bytes: [76], logprob: -2.25 },
      ],
    };
    const frame = token('The', 504, 1, { completion_probabilities: [probability] });
    const { engine } = await start({ 'POST /completion': events(frame, last('limit', 1)) });
    const [first] = await ask(engine, request({ outputOptions: { logprobs: 2 } })).answer();
    expect(first?.logprobs).toEqual([
      {
        tokenId: 504,
        logprob: -0.5,
        token: '',
        top: [
          { tokenId: 504, logprob: -0.5, token: '' },
          { tokenId: 60, logprob: -2.25, token: '' },
        ],
      },
    ]);
  });

  it.each([
    ['best_of', { samplingOptions: { bestOf: 3 } }],
    ['bad_words', { samplingOptions: { badWords: ['x'] } }],
    ['guided_regex', { samplingOptions: { guidedDecoding: { regex: 'a+' } } }],
    ['min_tokens', { stopConditions: { minTokens: 3, maxTokens: 9 } }],
    ['prompt_logprobs', { outputOptions: { promptLogprobs: 1 } }],
  ])('refuses %s, which llama-server does not have', async (feature, fields) => {
    const { engine, server } = await start({});
    expect(() => ask(engine, request(fields))).toThrow(feature);
    expect(server.bodies).toEqual([]);
  });

  it.each([
    ['request.invalid', 400, { error: { code: 400, message: 'Failed to initialize samplers' } }],
    [
      'request.context_length',
      400,
      { error: { code: 400, message: 'too long', n_prompt_tokens: 3000, n_ctx: 2048 } },
    ],
    ['backend.engine_shutdown', 503, { error: { code: 503, message: 'Loading model' } }],
    ['capacity.worker_overloaded', 429, {}],
    ['backend.error', 500, { error: { code: 500, message: 'broken' } }],
  ])('reports %s', async (code, status, body) => {
    const { engine } = await start({ 'POST /completion': refusal(status, body) });
    await expect(ask(engine).answer()).rejects.toMatchObject({ code });
  });

  it('reports an error inside the stream', async () => {
    const { engine } = await start({
      'POST /completion': events(token('The', 504, 1), {
        error: { code: 500, message: 'kv cache is full' },
      }),
    });
    await expect(ask(engine).answer()).rejects.toMatchObject({
      code: 'backend.error',
      message: expect.stringContaining('kv cache is full') as string,
    });
  });

  it('fails an answer that ends without a reason, so that it can move', async () => {
    const { engine } = await start({ 'POST /completion': events(token('The', 504, 1)) });
    await expect(ask(engine).answer()).rejects.toMatchObject({ code: 'backend.stream_incomplete' });
  });

  it('closes the connection when the request is stopped, also before the first token', async () => {
    const closed = vi.fn();
    const { engine, server } = await start({
      'POST /completion': ({ response }: ScriptedRequest) => response.on('close', closed),
    });
    const context = new Context();
    const sink = ask(engine, request(), context);
    await vi.waitFor(() => expect(server.bodies).toHaveLength(1));
    expect(engine.load()[0]).toMatchObject({ activeRequests: 1, activePrefillTokens: 3 });
    context.stopGenerating();
    const [only] = await sink.answer();
    expect(only?.finishReason).toBe(FinishReason.FINISH_REASON_CANCELLED);
    await vi.waitFor(() => expect(closed).toHaveBeenCalled());
    expect(engine.load()[0]).toMatchObject({ activeRequests: 0, activePrefillTokens: 0 });
  });

  it('stops reading while the caller takes nothing', async () => {
    const sent = Promise.withResolvers<ScriptedRequest['response']>();
    const { engine } = await start({
      'POST /completion': ({ response }: ScriptedRequest) => {
        response.writeHead(200);
        response.write(`data: ${JSON.stringify(token('The', 504, 1))}\n\n`);
        sent.resolve(response);
      },
    });
    const sink = new CollectingSink();
    sink.hasCredit = false;
    engine.generate(request(), sink, new Context());
    await vi.waitFor(() => expect(sink.responses).toHaveLength(1));
    const response = await sent.promise;
    response.end(`data: ${JSON.stringify(last('limit', 1))}\n\n`);
    await systemClock.sleep(50);
    expect(sink.responses).toHaveLength(1);
    sink.drain();
    expect(await sink.answer()).toHaveLength(2);
  });

  it('counts load while it answers', async () => {
    const { engine, host } = await start({
      'POST /completion': events(token('The', 504, 1), last('limit', 1)),
    });
    await ask(engine).answer();
    expect(host.loadChanged).toHaveBeenCalled();
    expect(engine.load()).toEqual([
      {
        dpRank: 0,
        activeRequests: 0,
        waitingRequests: 0,
        activeDecodeBlocks: 0,
        activePrefillTokens: 0,
        totalKvBlocks: 512,
      },
    ]);
  });

  it('waits for a server that is loading its model', async () => {
    let asked = 0;
    const { engine } = await start({
      'GET /health': ({ response }: ScriptedRequest) => {
        asked += 1;
        response.writeHead(asked > 2 ? 200 : 503).end('{}');
      },
    });
    expect(asked).toBe(3);
    await engine.close();
  });

  it('tells when the server has died, and fails its requests so that they can move', async () => {
    const { engine, host, server } = await start({ 'POST /completion': () => undefined });
    const sink = ask(engine);
    await vi.waitFor(() => expect(server.bodies).toHaveLength(1));
    await server.close();
    await expect(sink.answer()).rejects.toMatchObject({ code: 'backend.engine_shutdown' });
    await vi.waitFor(() => expect(host.crashed).toHaveBeenCalledOnce(), { timeout: 3000 });
  });

  it('is asked by text when the model file is elsewhere', async () => {
    const { facts } = await start({}, { modelPath: undefined });
    expect(facts.input).toBe('text');
    await expect(start({}, { modelPath: undefined, input: 'tokens' })).rejects.toMatchObject({
      code: 'config.invalid',
    });
  });
});
