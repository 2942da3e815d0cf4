/** What bad, sloppy and large input gets. */
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';

import { describe, expect, it, vi } from 'vitest';

import { endlessScript, promptOf, sayScript, testFrontend } from './scripted-worker.ts';
import type { TestFrontend } from './scripted-worker.ts';

const CHAT = { model: 'mock', messages: [{ role: 'user' as const, content: 'hi' }] };

describe('what bad input gets', () => {
  const statusOf = async (test: TestFrontend, body: unknown, path = '/v1/chat/completions') => {
    const response = await test.post(path, body);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    return [response.status, error.code];
  };

  it('is the right status with a code', async () => {
    await using test = await testFrontend({ contextLength: 64, argv: ['--http-body-limit-mb=1'] });
    expect(await statusOf(test, '{"model":')).toEqual([400, 'request.invalid']);
    expect(await statusOf(test, '[]')).toEqual([400, 'request.invalid']);
    expect(await statusOf(test, { ...CHAT, temperature: 9 })).toEqual([400, 'request.invalid']);
    expect(await statusOf(test, { ...CHAT, surprise: 9 })).toEqual([400, 'request.invalid']);
    expect(await statusOf(test, { ...CHAT, functions: [] })).toEqual([
      501,
      'runtime.not_implemented',
    ]);
    expect(await statusOf(test, { ...CHAT, model: 'none' })).toEqual([404, 'model_not_found']);
    expect(await statusOf(test, CHAT, '/v1/nothing')).toEqual([404, 'request.not_found']);
    const long = { ...CHAT, messages: [{ role: 'user', content: 'x'.repeat(100) }] };
    expect(await statusOf(test, long)).toEqual([400, 'context_length_exceeded']);
    for (const type of ['text/plain', 'application/jsonx', '']) {
      const headers = { 'content-type': type };
      const response = await test.post('/v1/chat/completions', CHAT, { headers });
      expect(response.status).toBe(415);
    }
    const model = await fetch(`${test.url}/v1/models/none`);
    expect(model.status).toBe(404);
    const broken = await fetch(`${test.url}/v1/models/%ff`);
    expect(broken.status).toBe(400);
    expect(await broken.json()).toMatchObject({ error: { code: 'request.invalid' } });
  });

  it('names the prompt that is wrong as the body has it', async () => {
    await using test = await testFrontend({ contextLength: 64 });
    const errorOf = async (path: string, body: object) => {
      const response = await test.post(path, { model: 'mock', ...body });
      expect(response.status).toBe(400);
      const { error } = (await response.json()) as { error: { message: string; param: string } };
      return error;
    };
    const long = 'x'.repeat(100);
    for (const [prompt, message] of [
      [['one', '', 'two'], 'prompt[1] has no tokens'],
      ['', 'the prompt has no tokens'],
      [['one', long], 'but prompt[1] has 100 tokens'],
      [[[1], [999_999]], 'prompt[1]: token id 999999 is outside'],
      [[999_999], 'prompt: token id 999999 is outside'],
    ] as const) {
      const error = await errorOf('/v1/completions', { prompt, stream: true });
      expect(error.param).toBe('prompt');
      expect(error.message).toContain(message);
    }
    const chat = { messages: [{ role: 'user', content: long }] };
    const error = await errorOf('/v1/chat/completions', chat);
    expect(error).toMatchObject({ param: 'messages', details: { limit: 64 } });
    expect(error.message).toContain('but the messages have ');
  });

  it('is 404 with what was meant for a path that is almost one', async () => {
    await using test = await testFrontend();
    const meant = "; did you mean '/v1/chat/completions'?";
    for (const [path, end] of [
      ['/chat/completions', meant],
      ['/v1/chat/completions/?x=1', meant],
      ['//v1/chat/completions', meant],
      ['/v1/embeddings', 'There is no POST /v1/embeddings.'],
      [`/${'x'.repeat(100)}`, 'x.'],
    ] as const) {
      const response = await test.post(path, CHAT);
      expect(response.status).toBe(404);
      const { error } = (await response.json()) as { error: { message: string } };
      expect(error.message.endsWith(end)).toBe(true);
    }
  });

  it('is 405 with the allowed methods for a path that has others', async () => {
    await using test = await testFrontend();
    for (const [method, path, allow] of [
      ['GET', '/v1/chat/completions', 'POST'],
      ['PUT', '/v1/completions?x=1', 'POST'],
      ['POST', '/v1/models', 'GET, HEAD'],
      ['DELETE', '/v1/models/org/name', 'GET, HEAD'],
    ] as const) {
      const response = await fetch(test.url + path, { method });
      expect([response.status, response.headers.get('allow')]).toEqual([405, allow]);
      expect(await response.json()).toMatchObject({
        error: { code: 'request.method_not_allowed' },
      });
    }
  });

  it('is the end of the connection when it comes in the middle of an answer', async () => {
    const { script, killed } = endlessScript();
    await using test = await testFrontend({ script });
    const body = JSON.stringify({ ...CHAT, stream: true });
    const socket = connect(Number(new URL(test.url).port), '127.0.0.1');
    let received = '';
    let isClosed = false;
    socket.setEncoding('utf8').on('data', (part: string) => {
      if (received === '') socket.write('nonsense\r\n\r\n');
      received += part;
    });
    socket.on('error', () => undefined).on('close', () => (isClosed = true));
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await vi.waitFor(() => {
      expect(isClosed).toBe(true);
    });
    await killed;
    expect(received.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200']);
  });

  it('is read leniently where clients are known to be sloppy', async () => {
    await using test = await testFrontend({
      script: (request, sink, context) => sayScript(promptOf(request))(request, sink, context),
    });
    const raw = '{"model":"mock","prompt":"a\nb\u0001"}';
    const response = await test.post('/v1/completions', raw, {
      headers: { 'content-type': 'application/vnd.api+json; charset=utf-8' },
    });
    expect(await response.json()).toMatchObject({ choices: [{ text: 'a\nb\u0001' }] });
  });

  it('is 413 for a body over the limit, which the client can read while it still sends', async () => {
    await using test = await testFrontend({ argv: ['--http-body-limit-mb=1'] });
    for (const headers of [
      { 'content-length': 8 * 1024 * 1024 },
      { 'transfer-encoding': 'chunked' },
    ]) {
      const answer = await new Promise<{ status: number | undefined; text: string }>(
        (resolve, reject) => {
          const request = httpRequest(
            `${test.url}/v1/chat/completions`,
            { method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
            (response) => {
              let text = '';
              response.setEncoding('utf8').on('data', (part: string) => (text += part));
              response.on('end', () => resolve({ status: response.statusCode, text }));
            },
          );
          request.on('error', reject);
          request.end(Buffer.alloc(8 * 1024 * 1024, 0x20));
        },
      );
      expect(answer.status).toBe(413);
      expect(JSON.parse(answer.text)).toMatchObject({
        error: { code: 'request.payload_too_large', details: { limit: 1024 * 1024 } },
      });
    }
  });

  it('is 400 with both numbers for 16 MB of text', async () => {
    await using test = await testFrontend();
    const content = 'word '.repeat(16 * 200_000);
    const response = await test.post('/v1/chat/completions', {
      ...CHAT,
      messages: [{ role: 'user', content }],
    });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as {
      error: { details: { limit: number; actual: number } };
    };
    expect(error.details.limit).toBe(131_072);
    expect(error.details.actual).toBeGreaterThan(content.length);
  }, 60_000);

  it('is answered all the same when the body is large and fits', async () => {
    await using test = await testFrontend({
      contextLength: 8_000_000,
      script: (request, sink, context) =>
        sayScript(String(promptOf(request).length))(request, sink, context),
    });
    const prompt = 'ä'.repeat(700_000);
    const response = await test.post('/v1/completions', { model: 'mock', prompt });
    expect(await response.json()).toMatchObject({
      choices: [{ text: '700000' }],
      usage: { prompt_tokens: 1_400_000 },
    });
  }, 60_000);

  it('is answered at every size up to the limit, by one prompt and by several', async () => {
    await using test = await testFrontend({
      contextLength: 50_000_000,
      script: (request, sink, context) =>
        sayScript(String(promptOf(request).length))(request, sink, context),
    });
    for (const size of [127, 128, 129, 1023, 1024, 4096].map((kib) => kib * 1024)) {
      const response = await test.post('/v1/completions', {
        model: 'mock',
        prompt: 'x'.repeat(size),
      });
      expect(await response.json()).toMatchObject({ choices: [{ text: String(size) }] });
    }
    const prompt = [700_000, 5, 600_000].map((size) => 'y'.repeat(size));
    const response = await test.post('/v1/completions', { model: 'mock', prompt });
    expect(await response.json()).toMatchObject({
      choices: [{ text: '700000' }, { text: '5' }, { text: '600000' }],
    });
    const long = Array.from({ length: 600_000 }, () => 65);
    const ids = await test.post('/v1/completions', {
      model: 'mock',
      prompt: [long, [66]],
      echo: true,
    });
    expect(await ids.json()).toMatchObject({
      choices: [{ text: `${'A'.repeat(600_000)}600000` }, { text: 'B1' }],
    });
    const outside = await test.post('/v1/completions', { model: 'mock', prompt: [259] });
    expect(outside.status).toBe(400);
  }, 60_000);
});
