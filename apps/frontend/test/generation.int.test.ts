/** Answers over HTTP in front of scripted workers, as clients use them. */
import { connect } from 'node:net';

import { FinishReason } from '@dynamo-ts/protocol';
import OpenAI from 'openai';
import { describe, expect, it, vi } from 'vitest';

import {
  endlessScript,
  eventsOf,
  idsOf,
  promptOf,
  sayScript,
  silentScript,
  testFrontend,
  tokens,
} from './scripted-worker.ts';
import type { Script, TestFrontend } from './scripted-worker.ts';

const CHAT = { model: 'mock', messages: [{ role: 'user' as const, content: 'hi' }] };

const clientOf = (test: TestFrontend): OpenAI =>
  new OpenAI({ baseURL: `${test.url}/v1`, apiKey: 'any', maxRetries: 0 });

describe('the openai package', () => {
  it('streams a chat and gets its usage', async () => {
    await using test = await testFrontend({
      script: sayScript('Hällo 🌍!', {
        usage: { promptTokens: 21, completionTokens: 12, cachedTokens: 16 },
      }),
    });
    const stream = await clientOf(test).chat.completions.create({
      ...CHAT,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: unknown;
    let finish: string | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe('Hällo 🌍!');
    expect(finish).toBe('stop');
    expect(usage).toEqual({
      prompt_tokens: 21,
      completion_tokens: 12,
      total_tokens: 33,
      prompt_tokens_details: { cached_tokens: 16 },
    });
  });

  it('gets a whole chat and a whole completion', async () => {
    await using test = await testFrontend({ script: sayScript('Paris') });
    const client = clientOf(test);
    const chat = await client.chat.completions.create(CHAT);
    expect(chat.choices[0]?.message).toMatchObject({ role: 'assistant', content: 'Paris' });
    expect(chat.usage?.completion_tokens).toBe(5);
    const completion = await client.completions.create({ model: 'mock', prompt: 'hi', echo: true });
    expect(completion.choices[0]?.text).toBe('hiParis');
    expect(completion.usage?.prompt_tokens).toBe(2);
  });

  it('aborts in mid-stream, and the worker learns of it', async () => {
    const { script, killed } = endlessScript();
    await using test = await testFrontend({ script });
    const stream = await clientOf(test).chat.completions.create({ ...CHAT, stream: true });
    for await (const _chunk of stream) break;
    stream.controller.abort();
    await killed;
    await vi.waitFor(async () => {
      expect(await test.telemetry.metrics.text()).toContain(
        'dynamo_frontend_requests_total{model="mock",endpoint="chat_completions",request_type="stream",status="error",error_type="cancelled"} 1',
      );
    });
  });

  it('lists models and finds one whose name has slashes', async () => {
    await using test = await testFrontend({ model: 'org/model-1', aliases: ['short'] });
    const client = clientOf(test);
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['org/model-1']);
    expect((await client.models.retrieve('org/model-1')).id).toBe('org/model-1');
    expect(
      (await (await fetch(`${test.url}/v1/models/org/model-1`)).json()) as unknown,
    ).toMatchObject({
      id: 'org/model-1',
    });
    const aliased = await test.post('/v1/chat/completions', { ...CHAT, model: 'short' });
    expect(await aliased.json()).toMatchObject({ model: 'short' });
  });
});

describe('a client that leaves', () => {
  it('before the first token of a stream ends the request at the worker', async () => {
    const { script, started, killed } = silentScript();
    await using test = await testFrontend({ script });
    const controller = new AbortController();
    const answer = test.post(
      '/v1/chat/completions',
      { ...CHAT, stream: true },
      { signal: controller.signal },
    );
    await started;
    controller.abort();
    await expect(answer).rejects.toThrow(/abort/i);
    await killed;
  });

  it('while waiting for a whole answer ends the request at the worker', async () => {
    const { script, started, killed } = endlessScript();
    await using test = await testFrontend({ script });
    const controller = new AbortController();
    const answer = test.post('/v1/chat/completions', CHAT, { signal: controller.signal });
    await started;
    controller.abort();
    await expect(answer).rejects.toThrow(/abort/i);
    await killed;
  });
});

describe('streams', () => {
  it('send one event per token, many in one write', async () => {
    const script: Script = (_request, sink) => {
      sink.write(tokens(idsOf('abcd')));
      sink.write(tokens(idsOf('ef'), { finishReason: FinishReason.FINISH_REASON_LENGTH }));
      sink.end();
    };
    await using test = await testFrontend({ script });
    const text = await (await test.post('/v1/chat/completions', { ...CHAT, stream: true })).text();
    const contents = eventsOf(text).map(
      (event) => (event as { choices: { delta: { content: string } }[] }).choices[0]?.delta.content,
    );
    expect(contents).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('carry the usage so far in every chunk when asked to', async () => {
    await using test = await testFrontend({ script: sayScript('abc') });
    const stream_options = { include_usage: true, continuous_usage_stats: true };
    const response = await test.post('/v1/completions', {
      model: 'mock',
      prompt: 'hi',
      stream: true,
      stream_options,
    });
    const usages = eventsOf(await response.text()).map(
      (event) => (event as { usage: { total_tokens: number } }).usage.total_tokens,
    );
    expect(usages).toEqual([3, 4, 5, 5]);
  });

  it('give every choice an index and a seed of its own', async () => {
    const seeds = new Set<bigint | undefined>();
    const script: Script = (request, sink, context) => {
      seeds.add(request.samplingOptions?.seed);
      return sayScript(`${promptOf(request)}!`)(request, sink, context);
    };
    await using test = await testFrontend({ script });
    const body = { model: 'mock', prompt: ['a', 'b'], n: 2, seed: 5, temperature: 1 };
    const whole = (await (await test.post('/v1/completions', body)).json()) as {
      choices: { index: number; text: string }[];
      usage: unknown;
    };
    expect(whole.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, 'a!'],
      [1, 'a!'],
      [2, 'b!'],
      [3, 'b!'],
    ]);
    expect(whole.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 8 });
    expect(seeds).toEqual(new Set([5n, 6n]));
    const streamed = await (await test.post('/v1/completions', { ...body, stream: true })).text();
    const texts = ['', '', '', ''];
    for (const event of eventsOf(streamed)) {
      for (const { index, text } of (event as { choices: { index: number; text: string }[] })
        .choices)
        texts[index] = (texts[index] ?? '') + text;
    }
    expect(texts).toEqual(['a!', 'a!', 'b!', 'b!']);
  });

  it('count text offsets over the chunks of a stream', async () => {
    const script: Script = (_request, sink) => {
      for (const text of ['a', 'b'])
        sink.write(
          tokens(idsOf(text), {
            logprobs: [{ tokenId: text.charCodeAt(0), logprob: -1, top: [], token: '' }],
            ...(text === 'b' ? { finishReason: FinishReason.FINISH_REASON_EOS } : {}),
          }),
        );
      sink.end();
    };
    await using test = await testFrontend({ script });
    const body = { model: 'mock', prompt: 'hello', logprobs: 1 };
    const whole = await test.post('/v1/completions', body);
    expect(await whole.json()).toMatchObject({
      choices: [{ text: 'ab', logprobs: { text_offset: [0, 1] } }],
    });
    const streamed = await test.post('/v1/completions', { ...body, stream: true });
    const offsets = eventsOf(await streamed.text()).flatMap(
      (event) =>
        (event as { choices: { logprobs: { text_offset: number[] } | null }[] }).choices[0]
          ?.logprobs?.text_offset ?? [],
    );
    expect(offsets).toEqual([0, 1]);
  });

  it('stop at a stop string and tell the worker', async () => {
    const { script, killed } = endlessScript();
    await using test = await testFrontend({ script });
    const answer = await test.post('/v1/chat/completions', { ...CHAT, stop: 'xxxx' });
    expect(await answer.json()).toMatchObject({
      choices: [{ message: { content: '' }, finish_reason: 'stop' }],
    });
    await killed;
  });

  it('carry annotations, extension values and logprobs when asked to', async () => {
    const logprobs = [{ tokenId: 97, logprob: -1, top: [], token: '' }];
    const script: Script = (_request, sink) => {
      sink.write(tokens(idsOf('a'), { logprobs, finishReason: FinishReason.FINISH_REASON_EOS }));
      sink.end();
    };
    await using test = await testFrontend({ script });
    const response = await test.post('/v1/chat/completions', {
      ...CHAT,
      stream: true,
      logprobs: true,
      nvext: {
        annotations: ['request_id', 'token_ids', 'formatted_prompt'],
        extra_fields: ['worker_id', 'timing'],
      },
    });
    const text = await response.text();
    expect(text).toContain(
      `event: request_id\n: "${response.headers.get('x-dynamo-request-id') ?? ''}"\n\n`,
    );
    expect(text).toMatch(/event: token_ids\n: \[[\d,]+\]\n\n/);
    expect(text).toMatch(/event: formatted_prompt\n: "<\|im_start\|>/);
    expect(eventsOf(text)[0]).toMatchObject({
      choices: [
        {
          delta: { role: 'assistant', content: 'a' },
          finish_reason: 'stop',
          logprobs: { content: [{ token: 'a', logprob: -1, bytes: [97] }] },
        },
      ],
      nvext: {
        worker_id: { decode_worker_id: String(test.workers[0]?.instanceId) },
        timing: { ttft_ms: expect.any(Number) as unknown },
      },
    });
  });

  it('keep a silent connection alive with comments, and then report errors as events', async () => {
    const gate = Promise.withResolvers<undefined>();
    const script: Script = async (_request, sink) => {
      await gate.promise;
      sink.fail(new Error('the engine broke at /secret/path'));
    };
    await using test = await testFrontend({
      script,
      argv: ['--http-sse-keep-alive-interval=20ms'],
    });
    const response = await test.post('/v1/chat/completions', { ...CHAT, stream: true });
    expect(response.status).toBe(200);
    gate.resolve(undefined);
    const text = await response.text();
    expect(text).toContain(': keep-alive\n\n');
    expect(text).not.toContain('[DONE]');
    expect(text).not.toContain('/secret');
    expect(eventsOf(text)).toEqual([
      { error: expect.objectContaining({ message: 'Internal server error' }) as unknown },
    ]);
  });

  it('have no chunk sizes for HTTP/1.0, and pipelined answers come in order', async () => {
    await using test = await testFrontend({ script: sayScript('Hi') });
    const post = (version: string, body: object): string => {
      const json = JSON.stringify({ ...CHAT, ...body });
      return `POST /v1/chat/completions HTTP/${version}\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${json.length}\r\n\r\n${json}`;
    };
    const port = Number(new URL(test.url).port);
    const talk = async (sent: string, isDone: (text: string) => boolean): Promise<string> => {
      const socket = connect(port, '127.0.0.1');
      let received = '';
      socket.setEncoding('utf8').on('data', (part: string) => (received += part));
      socket.write(sent);
      await vi.waitFor(() => {
        expect(isDone(received)).toBe(true);
      });
      socket.destroy();
      return received;
    };
    const old = await talk(post('1.0', { stream: true }), (text) => text.includes('[DONE]'));
    const [, body = ''] = old.split('\r\n\r\n');
    expect(
      body.split('\n\n').filter((event) => event !== '' && !event.startsWith('data: ')),
    ).toEqual([]);
    const three = post('1.1', { stream: true }) + post('1.1', {}) + post('1.1', { stream: true });
    const both = await talk(three, (text) => text.split('[DONE]').length === 3);
    expect(both.match(/chat\.completion(\.chunk)?"|\[DONE\]/g)).toEqual([
      'chat.completion.chunk"',
      'chat.completion.chunk"',
      '[DONE]',
      'chat.completion"',
      'chat.completion.chunk"',
      'chat.completion.chunk"',
      '[DONE]',
    ]);
  });

  it('let a slow reader hold up only itself', async () => {
    let written = 0;
    const chunk = tokens(idsOf('y'.repeat(1000)));
    const script: Script = async (request, sink, context) => {
      if (promptOf(request).includes('fast')) return sayScript('quick')(request, sink, context);
      while (!context.isKilled()) {
        written += 1;
        if (!sink.write(chunk)) await sink.drained();
        else if (written % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      return undefined;
    };
    await using test = await testFrontend({ script });
    const body = JSON.stringify({ ...CHAT, stream: true, max_tokens: 100_000_000 });
    const socket = connect(Number(new URL(test.url).port), '127.0.0.1');
    socket.pause();
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    let before = -1;
    await vi.waitFor(
      () => {
        const now = written;
        const isStalled = now > 0 && now === before;
        before = now;
        expect(isStalled).toBe(true);
      },
      { timeout: 20_000, interval: 200 },
    );
    const fast = await test.post('/v1/chat/completions', {
      model: 'mock',
      messages: [{ role: 'user', content: 'fast' }],
    });
    expect(await fast.json()).toMatchObject({ choices: [{ message: { content: 'quick' } }] });
    socket.destroy();
  }, 30_000);
});
