/** The library form of the frontend, as programs use it. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { DynamoError } from '@dynamo-ts/base';
import { createTelemetry } from '@dynamo-ts/telemetry';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';

import { HttpService } from '../src/index.ts';
import type { ChatCompletionsEngine, CompletionsEngine, HttpServiceHandle } from '../src/index.ts';
import { eventsOf } from './scripted-worker.ts';

interface TestService extends AsyncDisposable {
  readonly service: HttpService;
  readonly handle: HttpServiceHandle;
  readonly client: OpenAI;
  readonly stop: AbortController;
  post(path: string, body: object, init?: RequestInit): Promise<Response>;
}

type Configure = (builder: ReturnType<typeof HttpService.builder>) => unknown;

async function testService(configure: Configure = () => undefined): Promise<TestService> {
  const builder = HttpService.builder().host('127.0.0.1').port(0).telemetry(quiet());
  configure(builder);
  const service = builder.build();
  const stop = new AbortController();
  const handle = await service.spawn(stop.signal);
  return {
    service,
    handle,
    stop,
    client: new OpenAI({ baseURL: `${handle.url}/v1`, apiKey: 'any', maxRetries: 0 }),
    post: (path, body, init = {}) =>
      fetch(handle.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        ...init,
      }),
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await handle.finished;
    },
  };
}

const quiet = () => createTelemetry({ service: 'test', logDestination: { write: () => true } });

/** Says the last message backwards, a letter at a time. */
const backwards: ChatCompletionsEngine = async function* ({ messages }) {
  const content = messages.at(-1)?.content;
  const letters = typeof content === 'string' ? Array.from(content).reverse() : [];
  for (const letter of letters) yield { choices: [{ delta: { content: letter } }] };
  yield { choices: [{ delta: {}, finish_reason: 'stop' }] };
  yield { choices: [], usage: { prompt_tokens: 3, completion_tokens: letters.length } };
};

const shout: CompletionsEngine = async function* ({ prompt: [prompt] }) {
  const text = prompt?.kind === 'text' ? prompt.text.toUpperCase() : '';
  yield { choices: [{ text, finish_reason: 'stop' }] };
};

/** Yields one word, then waits for the gate. */
function gated(): {
  engine: ChatCompletionsEngine;
  started: Promise<undefined>;
  killed: Promise<undefined>;
  open: () => void;
} {
  const started = Promise.withResolvers<undefined>();
  const killed = Promise.withResolvers<undefined>();
  const gate = Promise.withResolvers<undefined>();
  return {
    engine: async function* (_request, context) {
      yield { choices: [{ delta: { content: 'one' } }] };
      context.killed.addEventListener('abort', () => {
        killed.resolve(undefined);
        gate.resolve(undefined);
      });
      started.resolve(undefined);
      await gate.promise;
      yield { choices: [{ delta: { content: ' two' }, finish_reason: 'stop' }] };
    },
    started: started.promise,
    killed: killed.promise,
    open: () => gate.resolve(undefined),
  };
}

const HELLO = { model: 'm', messages: [{ role: 'user' as const, content: 'hello' }] };

describe('an engine function behind HttpService', () => {
  it('answers chats, whole and streamed, with its counts', async () => {
    await using test = await testService();
    test.service.modelManager().addChatCompletionsModel('m', backwards);
    const whole = await test.client.chat.completions.create(HELLO);
    expect(whole).toMatchObject({
      model: 'm',
      choices: [{ message: { role: 'assistant', content: 'olleh' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 },
    });
    const stream = await test.client.chat.completions.create({ ...HELLO, stream: true });
    const pieces = (await Array.fromAsync(stream)).map(({ choices: [choice] }) => choice);
    expect(pieces.map((piece) => piece?.delta.content ?? '').join('')).toBe('olleh');
    expect(pieces.at(-1)?.finish_reason).toBe('stop');
  });

  it('answers several prompts and several choices by asking the engine for each', async () => {
    await using test = await testService();
    test.service.modelManager().addCompletionsModel('m', shout);
    const answer = await test.client.completions.create({ model: 'm', prompt: ['a', 'b'], n: 2 });
    expect(answer.choices.map(({ text }) => text)).toEqual(['A', 'A', 'B', 'B']);
  });

  it('passes tool calls and reasoning on', async () => {
    await using test = await testService();
    const call = { index: 0, id: 'x', type: 'function', function: { name: 'f', arguments: '{}' } };
    test.service.modelManager().addChatCompletionsModel('m', async function* () {
      yield { choices: [{ delta: { reasoning_content: 'hm' } }] };
      yield { choices: [{ delta: { tool_calls: [call] }, finish_reason: 'tool_calls' }] };
    });
    const { choices } = await test.client.chat.completions.create(HELLO);
    expect(choices).toMatchObject([
      {
        message: { reasoning_content: 'hm', tool_calls: [{ function: { name: 'f' } }] },
        finish_reason: 'tool_calls',
      },
    ]);
  });

  it('can be the stream of OpenAI’s own client', async () => {
    await using upstream = await testService();
    upstream.service.modelManager().addChatCompletionsModel('m', backwards);
    await using test = await testService();
    test.service.modelManager().addChatCompletionsModel('m', async function* (_request, context) {
      yield* await upstream.client.chat.completions.create(
        { ...HELLO, stream: true, stream_options: { include_usage: true } },
        { signal: context.killed },
      );
    });
    const { choices, usage } = await test.client.chat.completions.create(HELLO);
    expect(choices[0]?.message.content).toBe('olleh');
    expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 5 });
  });

  it('learns at once that its client has left', async () => {
    await using test = await testService();
    const { engine, started, killed } = gated();
    test.service.modelManager().addChatCompletionsModel('m', engine);
    const client = new AbortController();
    const answer = test.post(
      '/v1/chat/completions',
      { ...HELLO, stream: true },
      { signal: client.signal },
    );
    const left = answer.then((response) => response.text()).catch(() => undefined);
    await started;
    client.abort();
    await killed;
    await left;
  });

  it('gives its errors to the client', async () => {
    await using test = await testService();
    const models = test.service.modelManager();
    models.addChatCompletionsModel('m', async function* () {
      throw new DynamoError('request.invalid', 'no verbs, please');
    });
    const refused = await test.post('/v1/chat/completions', HELLO);
    expect(refused.status).toBe(400);
    expect(await refused.text()).toContain('no verbs, please');
    models.addChatCompletionsModel('endless', async function* () {
      yield { choices: [{ delta: { content: 'a' } }] };
    });
    const cut = await test.post('/v1/chat/completions', { ...HELLO, model: 'endless' });
    expect(cut.status).toBe(503);
    expect(await cut.text()).toContain('backend.stream_incomplete');
  });
});

describe('ModelManager', () => {
  it('keeps chats and text completions apart', async () => {
    await using test = await testService();
    const models = test.service.modelManager();
    models.addChatCompletionsModel('talker', backwards);
    models.addCompletionsModel('shouter', shout);
    expect(models.listChatCompletionsModels()).toEqual(['talker']);
    expect(models.listCompletionsModels()).toEqual(['shouter']);
    expect(models.hasModelAny('talker') && models.hasModelAny('shouter')).toBe(true);
    expect(models.hasModelAny('m')).toBe(false);
    expect(models.state().getChatCompletionsEngine('talker')).toBe(backwards);
    expect(() => models.state().getCompletionsEngine('talker')).toThrow(
      expect.objectContaining({ code: 'request.model_not_found' }),
    );
    const wrongKind = await test.post('/v1/completions', { model: 'talker', prompt: 'a' });
    expect(wrongKind.status).toBe(404);
    const ids = (await test.client.models.list()).data.map(({ id }) => id);
    expect(ids).toEqual(['shouter', 'talker']);
    expect((await test.client.models.retrieve('shouter')).id).toBe('shouter');
  });

  it('removes a model while a request runs on it', async () => {
    await using test = await testService();
    const models = test.service.modelManager();
    const { engine, started, open } = gated();
    models.addChatCompletionsModel('m', engine);
    const running = test.client.chat.completions.create(HELLO);
    await started;
    models.removeChatCompletionsModel('m');
    expect((await test.post('/v1/chat/completions', HELLO)).status).toBe(404);
    expect((await test.client.models.list()).data).toEqual([]);
    open();
    expect((await running).choices[0]?.message.content).toBe('one two');
  });
});

describe('HttpService', () => {
  it('listens on port 8787 of all addresses unless told otherwise', () => {
    const service = HttpService.builder().telemetry(quiet()).build();
    expect(service.address).toEqual({ host: '0.0.0.0', port: 8787 });
  });

  it('serves models and metrics also without the generating endpoints', async () => {
    await using test = await testService((builder) =>
      builder.enableChatEndpoints(false).enableCompletionsEndpoints(true),
    );
    const models = test.service.modelManager();
    models.addChatCompletionsModel('m', backwards);
    models.addCompletionsModel('m', shout);
    const chat = await test.post('/v1/chat/completions', HELLO);
    expect(chat.status).toBe(404);
    expect(await chat.text()).toContain('There is no POST /v1/chat/completions');
    expect(
      (await test.client.completions.create({ model: 'm', prompt: 'a' })).choices,
    ).toHaveLength(1);
    expect((await test.client.models.list()).data.map(({ id }) => id)).toEqual(['m']);
    const page = await (await fetch(`${test.handle.url}/metrics`)).text();
    expect(page).toMatch(/dynamo_frontend_requests_total\{.*model="m".*\} 1/);
    expect(await models.metrics().text()).toContain('dynamo_frontend_requests_total');
  });

  it('says which address it could not bind to, and why', async () => {
    const elsewhere = HttpService.builder().host('192.0.2.1').port(1).telemetry(quiet()).build();
    await expect(elsewhere.run(new AbortController().signal)).rejects.toThrow(
      /^could not bind to address: 192\.0\.2\.1:1 \(.*name an address of this machine\)$/,
    );
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo; // a TCP server
    const service = HttpService.builder().host('127.0.0.1').port(port).telemetry(quiet()).build();
    await expect(service.run(new AbortController().signal)).rejects.toMatchObject({
      code: 'config.port_in_use',
      message: expect.stringContaining(`could not bind to address: 127.0.0.1:${port}`) as string,
    });
    other.close();
  });

  it('stops accepting when its signal is aborted and waits for the requests that run', async () => {
    const test = await testService();
    const { engine, started, open } = gated();
    test.service.modelManager().addChatCompletionsModel('m', engine);
    const answer = test.post('/v1/chat/completions', { ...HELLO, stream: true });
    await started;
    test.stop.abort();
    await expect
      .poll(() => fetch(`${test.handle.url}/v1/models`).catch(() => 'refused'))
      .toBe('refused');
    open();
    const events = eventsOf(await (await answer).text());
    expect(events.at(-1)).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
    await test.handle.finished;
  });

  it('ends requests that take longer than the drain limit', async () => {
    const test = await testService((builder) => builder.drainTimeoutMs(20));
    const { engine, started, killed } = gated();
    test.service.modelManager().addChatCompletionsModel('m', engine);
    const answer = test.post('/v1/chat/completions', { ...HELLO, stream: true });
    await started;
    test.stop.abort();
    await killed;
    await test.handle.finished;
    expect(await (await answer).text()).toContain('"error"');
  });

  it('can run again after it has stopped', async () => {
    const test = await testService();
    test.service.modelManager().addChatCompletionsModel('m', backwards);
    test.stop.abort();
    await test.handle.finished;
    const stop = new AbortController();
    const { url, finished } = await test.service.spawn(stop.signal);
    const list = (await (await fetch(`${url}/v1/models`)).json()) as { data: unknown[] };
    expect(list.data).toHaveLength(1);
    stop.abort();
    await finished;
  });
});
