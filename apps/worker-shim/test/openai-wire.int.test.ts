/** The adapter of OpenAI-compatible servers: vLLM's token form, and the text form of everything else. */
import {
  FinishReason,
  GenerateRequest,
  TextInput_Kind,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { OpenAiEngine } from '../src/engines/openai/openai.ts';
import type { OpenAiEngineOptions } from '../src/engines/openai/openai.ts';
import { CollectingSink, ScriptedEngine, events, refusal } from './scripted-engine.ts';
import type { Script, ScriptedRequest } from './scripted-engine.ts';

const MODELS = {
  object: 'list',
  data: [{ id: 'org/tiny', root: '/nowhere', max_model_len: 4096 }],
};
const USAGE = {
  prompt_tokens: 3,
  completion_tokens: 3,
  total_tokens: 6,
  prompt_tokens_details: { cached_tokens: 2 },
};
const vllm = (token_ids: readonly number[], finish_reason: string | null, more = {}) => ({
  object: 'text_completion',
  model: 'org/tiny',
  choices: [
    { index: 0, text: 'x', logprobs: null, finish_reason, stop_reason: null, token_ids, ...more },
  ],
});
const VLLM_ANSWER = events(
  vllm([5], null, { prompt_token_ids: [1, 2, 3] }),
  vllm([6, 7], 'stop'),
  { choices: [], usage: USAGE },
  '[DONE]',
);
const TEXT_ANSWER = events(
  { choices: [{ index: 0, text: ' Paris', logprobs: null, finish_reason: null }] },
  { choices: [{ index: 0, text: '', finish_reason: 'length' }], usage: USAGE },
  '[DONE]',
);

const metricsPage =
  (...lines: readonly string[]) =>
  ({ response }: ScriptedRequest) => {
    response.end(`${lines.join('\n')}\n`);
  };

describe('OpenAiEngine', () => {
  const closers: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  async function start(script: Script, options: Partial<OpenAiEngineOptions> = {}) {
    const server = await ScriptedEngine.start({ 'GET /v1/models': MODELS, ...script });
    closers.push(() => server.close());
    const engine = new OpenAiEngine({
      source: { kind: 'attach', url: `${server.url}/v1` },
      input: 'auto',
      modelPath: '/models/tiny',
      blockSize: 64,
      dataParallelSize: 1,
      eventAddresses: [],
      startupTimeoutMs: 5000,
      logger: nullLogger,
      ...options,
    });
    const host = { loadChanged: vi.fn(), kvEvents: vi.fn(), crashed: vi.fn() };
    const facts = await engine.start({ host });
    closers.push(() => engine.close());
    return { server, engine, facts };
  }

  async function answer(
    engine: OpenAiEngine,
    fields: Parameters<typeof GenerateRequest.fromPartial>[0],
  ) {
    const sink = new CollectingSink();
    engine.generate(GenerateRequest.fromPartial(fields), sink, new Context());
    return sink.answer();
  }

  const TOKENS = { tokenIdsLe: Buffer.from(tokenIdsToBytes(Uint32Array.of(1, 2, 3))) };
  const text = (kind: TextInput_Kind, body: unknown) => ({
    textInput: { kind, bodyJson: Buffer.from(JSON.stringify(body)) },
  });

  it('finds that a server takes and gives token ids, and how large its cache is', async () => {
    const { facts, server } = await start({
      'POST /v1/completions': VLLM_ANSWER,
      'GET /metrics': metricsPage(
        'vllm:cache_config_info{block_size="32",cache_dtype="auto",num_gpu_blocks="640"} 1.0',
      ),
    });
    expect(facts).toMatchObject({
      input: 'tokens',
      modelNames: ['org/tiny'],
      contextLength: 4096,
      blockSize: 32,
      totalKvBlocks: 640,
    });
    expect(server.bodies[0]).toMatchObject({
      prompt: [1],
      max_tokens: 1,
      return_token_ids: true,
      model: 'org/tiny',
    });
  });

  const SOURCE = {
    enable_kv_cache_events: true,
    publisher: 'zmq',
    endpoint: 'tcp://*:5557',
    replay_endpoint: 'tcp://*:5558',
    topic: 'kv-events',
  };

  it('finds the KV events of every rank, and names the rank in requests', async () => {
    let rank: string | string[] | undefined;
    const { engine, facts } = await start({
      'POST /v1/completions': (request: ScriptedRequest) => {
        rank = request.headers['x-data-parallel-rank'];
        VLLM_ANSWER(request);
      },
      'GET /kv_event_sources': { 0: SOURCE, 1: { ...SOURCE, endpoint: 'tcp://*:5559' } },
    });
    expect(facts).toMatchObject({
      dataParallelSize: 2,
      dataParallelStartRank: 0,
      kvEvents: {
        kind: 'sockets',
        addresses: [
          { dpRank: 0, endpoint: 'tcp://127.0.0.1:5557', replayEndpoint: 'tcp://127.0.0.1:5558' },
          { dpRank: 1, endpoint: 'tcp://127.0.0.1:5559' },
        ],
      },
    });
    expect(rank).toBeUndefined();
    await answer(engine, { ...TOKENS, routing: { dpRank: 1 } });
    expect(rank).toBe('1');
    expect(engine.load().map(({ dpRank }) => dpRank)).toEqual([0, 1]);
  });

  it('takes the operator at their word about where events are', async () => {
    const eventAddresses = [{ dpRank: 0, endpoint: 'tcp://10.0.0.1:7' }];
    const { facts } = await start(
      { 'POST /v1/completions': VLLM_ANSWER, 'GET /kv_event_sources': { 0: SOURCE } },
      { eventAddresses },
    );
    expect(facts.kvEvents).toEqual({ kind: 'sockets', addresses: eventAddresses });
  });

  it.each([
    ['True', 'none'],
    ['False', 'uncached'],
  ])('knows whether there is anything to guess: prefix caching %s', async (value, kind) => {
    const { facts } = await start({
      'POST /v1/completions': VLLM_ANSWER,
      'GET /kv_event_sources': {},
      'GET /metrics': metricsPage(
        `vllm:cache_config_info{block_size="32",enable_prefix_caching="${value}"} 1.0`,
      ),
    });
    expect(facts.kvEvents).toEqual({ kind });
  });

  it('reports what the engine says it holds while it is busy', async () => {
    const pending = Promise.withResolvers<ScriptedRequest>();
    const { engine, server } = await start({
      'POST /v1/completions': VLLM_ANSWER,
      'GET /metrics': metricsPage(
        'vllm:cache_config_info{block_size="32",num_gpu_blocks="640"} 1.0',
        'vllm:num_requests_waiting{engine="0"} 1.0',
        'vllm:kv_cache_usage_perc{engine="0"} 0.05',
      ),
    });
    server.script['POST /v1/completions'] = (request: ScriptedRequest) => {
      pending.resolve(request);
    };
    const answered = answer(engine, TOKENS);
    await vi.waitFor(() => {
      expect(engine.load()).toEqual([
        {
          dpRank: 0,
          activeRequests: 0,
          waitingRequests: 1,
          activeDecodeBlocks: 32,
          activePrefillTokens: 3,
          totalKvBlocks: 640,
        },
      ]);
    });
    VLLM_ANSWER(await pending.promise);
    await answered;
    expect(engine.load()[0]).toMatchObject({ activeRequests: 0, activeDecodeBlocks: 0 });
  });

  it('asks by token ids', async () => {
    const { engine, server } = await start({ 'POST /v1/completions': VLLM_ANSWER });
    const responses = await answer(engine, {
      ...TOKENS,
      stopConditions: { maxTokens: 9, ignoreEos: true, stop: ['x'] },
      samplingOptions: { temperature: 0, topK: 5, guidedDecoding: { jsonObject: true } },
      routing: { cacheSalt: 's' },
    });
    expect(server.bodies[1]).toEqual({
      prompt: [1, 2, 3],
      model: 'org/tiny',
      stream: true,
      stream_options: { include_usage: true },
      return_token_ids: true,
      max_tokens: 9,
      ignore_eos: true,
      temperature: 0,
      top_k: 5,
      structured_outputs: { json_object: true },
      cache_salt: 's',
    });
    expect(responses.map(({ tokenIdsLe }) => [...tokenIdsFromBytes(tokenIdsLe)])).toEqual([
      [5],
      [6, 7],
    ]);
    expect(responses.at(-1)).toMatchObject({
      finishReason: FinishReason.FINISH_REASON_EOS,
      usage: { promptTokens: 3, completionTokens: 3, cachedTokens: 2 },
    });
  });

  it('tells a stop id from the end of sequence', async () => {
    const { engine } = await start({
      'POST /v1/completions': events(vllm([5], 'stop', { stop_reason: 5 }), '[DONE]'),
    });
    expect((await answer(engine, TOKENS)).at(-1)).toMatchObject({
      finishReason: FinishReason.FINISH_REASON_STOP,
      stopReason: '5',
    });
  });

  it('reads probabilities of token ids', async () => {
    const logprobs = {
      tokens: ['token_id:5'],
      token_logprobs: [-0.5],
      top_logprobs: [{ 'token_id:5': -0.5, 'token_id:9': -1.5 }],
    };
    const { engine } = await start({
      'POST /v1/completions': events(vllm([5], 'length', { logprobs }), '[DONE]'),
    });
    const [first] = await answer(engine, { ...TOKENS, outputOptions: { logprobs: 2 } });
    expect(first?.logprobs).toEqual([
      {
        tokenId: 5,
        logprob: -0.5,
        token: '',
        top: [
          { tokenId: 5, logprob: -0.5, token: '' },
          { tokenId: 9, logprob: -1.5, token: '' },
        ],
      },
    ]);
  });

  it.each([
    ['gives no ids back', TEXT_ANSWER],
    ['refuses ids', refusal(400, { error: { message: 'prompt must be a string' } })],
    ['has no completions', refusal(404, { detail: 'Not Found' })],
  ])('is asked by text when the server %s', async (_name, completions) => {
    const { facts } = await start({ 'POST /v1/completions': completions });
    expect(facts.input).toBe('text');
  });

  it('says why it cannot be asked by token ids when that is wanted', async () => {
    await expect(
      start({ 'POST /v1/completions': TEXT_ANSWER }, { input: 'tokens' }),
    ).rejects.toThrow(/cannot be asked by token ids: it does not give token ids back/);
    await expect(
      start({ 'POST /v1/completions': VLLM_ANSWER }, { input: 'tokens', modelPath: undefined }),
    ).rejects.toThrow(/--model-path/);
  });

  it('passes a chat on and its deltas back', async () => {
    const call = { index: 0, id: 'c1', function: { name: 'f', arguments: '{' } };
    const { engine, server } = await start(
      {
        'POST /v1/chat/completions': events(
          {
            choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }],
          },
          { choices: [{ index: 0, delta: { content: 'Hi' }, finish_reason: null }] },
          { choices: [{ index: 0, delta: { tool_calls: [call] }, finish_reason: null }] },
          { choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] },
          { choices: [], usage: USAGE },
          '[DONE]',
        ),
      },
      { input: 'text' },
    );
    const messages = [{ role: 'user', content: 'Hello' }];
    const responses = await answer(
      engine,
      text(TextInput_Kind.KIND_CHAT, { model: 'ours', messages, stream: false, nvext: {} }),
    );
    expect(server.bodies).toEqual([
      { model: 'org/tiny', messages, stream: true, stream_options: { include_usage: true } },
    ]);
    expect(responses.map(({ text: shown }) => shown)).toEqual(['', 'Hi', undefined, undefined]);
    expect(JSON.parse(new TextDecoder().decode(responses[2]!.deltaJson))).toEqual({
      tool_calls: [call],
    });
    expect(responses.at(-1)).toMatchObject({
      finishReason: FinishReason.FINISH_REASON_TOOL_CALLS,
      usage: { promptTokens: 3, cachedTokens: 2 },
    });
  });

  it('passes a completion on and its text back', async () => {
    const { engine } = await start({ 'POST /v1/completions': TEXT_ANSWER }, { input: 'text' });
    const responses = await answer(engine, text(TextInput_Kind.KIND_COMPLETION, { prompt: 'x' }));
    expect(responses.map(({ text: shown }) => shown)).toEqual([' Paris', undefined]);
    expect(responses.at(-1)?.finishReason).toBe(FinishReason.FINISH_REASON_LENGTH);
  });

  it('waits for every choice of a request', async () => {
    const choice = (index: number, text_: string, finish_reason: string | null) => ({
      choices: [{ index, text: text_, finish_reason }],
    });
    const { engine } = await start(
      {
        'POST /v1/completions': events(
          choice(1, 'b', 'stop'),
          choice(0, 'a', null),
          choice(0, '', 'stop'),
          '[DONE]',
        ),
      },
      { input: 'text' },
    );
    const responses = await answer(
      engine,
      text(TextInput_Kind.KIND_COMPLETION, { prompt: 'x', n: 2 }),
    );
    expect(responses.map(({ index, finishReason }) => [index, finishReason !== 0])).toEqual([
      [1, true],
      [0, false],
      [0, true],
    ]);
  });

  it('fails an answer that ends without a finish reason', async () => {
    const { engine } = await start(
      {
        'POST /v1/completions': events({ choices: [{ index: 0, text: 'a', finish_reason: null }] }),
      },
      { input: 'text' },
    );
    await expect(
      answer(engine, text(TextInput_Kind.KIND_COMPLETION, { prompt: 'x' })),
    ).rejects.toMatchObject({ code: 'backend.stream_incomplete' });
  });
});
