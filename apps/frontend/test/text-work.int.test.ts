/** Prompts that are unusual in form or size, and what is measured about turning text into ids and back. */
import { tokenIdsFromBytes } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { sayScript, testFrontend } from './scripted-worker.ts';
import type { Script, TestFrontend } from './scripted-worker.ts';

const MESSAGES = [{ role: 'user', content: 'Hi' }];
const CHAT = { model: 'mock', messages: MESSAGES };

async function metric(test: TestFrontend, name: string): Promise<number | undefined> {
  const page = await (await fetch(`${test.url}/metrics`)).text();
  const line = page.split('\n').find((each) => each.startsWith(`dynamo_frontend_${name} `));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

describe('a prompt that is tokenised already', () => {
  it('reaches the worker as it is, at any size, and is checked against the vocabulary', async () => {
    let received: Uint32Array = new Uint32Array();
    const script: Script = (request, sink, context) => {
      received = tokenIdsFromBytes(request.tokenIdsLe);
      return sayScript('ok')(request, sink, context);
    };
    await using test = await testFrontend({ script, contextLength: 1_000_000 });
    for (const length of [3, 400_000]) {
      const ids = Array.from({ length }, (_, index) => index % 256);
      const response = await test.post('/v1/chat/completions', {
        ...CHAT,
        nvext: { token_data: ids },
      });
      expect(await response.json()).toMatchObject({ usage: { prompt_tokens: length } });
      expect(received).toEqual(Uint32Array.from(ids));
    }
    const unknown = await test.post('/v1/chat/completions', {
      ...CHAT,
      nvext: { token_data: [1, 4_000_000_000] },
    });
    expect(unknown.status).toBe(400);
    expect(await unknown.text()).toContain('outside of the vocabulary');
  });
});

describe('a body of many small parts', () => {
  it.each([
    ['parsed here', 33_000, '', /at most 32768 messages are allowed, got 33000/],
    ['looked at natively', 80_000, '', /bytes of fields besides its texts/],
    ['mostly text', 40_000, 'x'.repeat(40), /at most 32768 messages are allowed, got 40000/],
  ])('is refused with its numbers: %s', async (_case, count, padding, message) => {
    const body = JSON.stringify({ model: 'mock', messages: [] }).replace(
      '[]',
      `[${Array.from({ length: count }, () => `{"role":"user","content":"${padding}"}`).join()}]`,
    );
    await using test = await testFrontend();
    const response = await test.post('/v1/chat/completions', body);
    expect(response.status).toBe(400);
    expect(await response.text()).toMatch(message);
  });
});

describe('the metrics of text', () => {
  it('tell template, tokenizer and detokenizer apart', async () => {
    await using test = await testFrontend({ script: sayScript('Hello') });
    expect((await test.post('/v1/chat/completions', CHAT)).status).toBe(200);
    expect((await test.post('/v1/completions', { model: 'mock', prompt: 'Hi' })).status).toBe(200);
    expect(await metric(test, 'template_seconds_count{model="mock"}')).toBe(2);
    expect(await metric(test, 'template_seconds_sum{model="mock"}')).toBeGreaterThan(0);
    expect(await metric(test, 'tokenize_seconds_count{model="mock"}')).toBe(2);
    expect(await metric(test, 'tokenizer_latency_ms_count{operation="tokenize"}')).toBe(2);
    expect(await metric(test, 'tokenizer_latency_ms_count{operation="detokenize"}')).toBe(2);
    expect(await metric(test, 'detokenize_token_count')).toBe(10);
    expect(await metric(test, 'detokenize_total_us')).toBeGreaterThan(0);
  });
});
