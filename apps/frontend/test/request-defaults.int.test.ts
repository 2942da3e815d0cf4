/** What an operator's template fills in, and what travels with a request in headers. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { GenerateRequest } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { idsOf, sayScript, testFrontend, tokens } from './scripted-worker.ts';
import type { Script } from './scripted-worker.ts';

const MESSAGES = [{ role: 'user', content: 'Hi' }];

describe('a request template', () => {
  it('fills model, temperature and the limit of both endpoints', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dynamo-template-'));
    const path = join(folder, 'template.json');
    await writeFile(path, '{"model":"mock","temperature":0.25,"max_completion_tokens":7}');
    const requests: GenerateRequest[] = [];
    const script: Script = (request, sink, context) => {
      requests.push(request);
      return sayScript('ok')(request, sink, context);
    };
    await using test = await testFrontend({ script, argv: [`--request-template=${path}`] });
    expect((await test.post('/v1/chat/completions', { messages: MESSAGES })).status).toBe(200);
    expect((await test.post('/v1/completions', { prompt: 'Hi' })).status).toBe(200);
    const own = { messages: MESSAGES, temperature: 1, max_tokens: 3 };
    expect((await test.post('/v1/chat/completions', own)).status).toBe(200);
    expect(
      requests.map(({ samplingOptions, stopConditions }) => [
        samplingOptions?.temperature,
        stopConditions?.maxTokens,
      ]),
    ).toEqual([
      [0.25, 7],
      [0.25, 7],
      [1, 3],
    ]);
    await rm(folder, { recursive: true });
  });
});

describe('metadata headers', () => {
  const post = (url: string, headers: [string, string][]): Promise<Response> =>
    fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: [['content-type', 'application/json'], ...headers],
      body: JSON.stringify({ model: 'mock', messages: MESSAGES }),
    });

  it('reach the worker, and too many or too large ones are refused', async () => {
    let received: Readonly<Record<string, string>> = {};
    const script: Script = (request, sink, context) => {
      received = context.headers;
      return sayScript('ok')(request, sink, context);
    };
    await using test = await testFrontend({ script });
    expect(
      (
        await post(test.url, [
          ['X-Dynamo-Meta-Team', 'blue'],
          ['x-other', 'no'],
        ])
      ).status,
    ).toBe(200);
    expect(received['x-dynamo-meta-team']).toBe('blue');
    expect(received).not.toHaveProperty('x-other');

    const many = Array.from({ length: 65 }, (_, index): [string, string] => [
      `x-dynamo-meta-${index}`,
      '1',
    ]);
    const large: [string, string][] = [['x-dynamo-meta-a', 'x'.repeat(65 * 1024)]];
    for (const headers of [many, large]) {
      const refused = await post(test.url, headers);
      expect(refused.status).toBe(431);
      expect(await refused.json()).toMatchObject({ error: { code: 'request.headers_too_large' } });
    }
  });
});

describe('the llm_metrics annotation', () => {
  it('counts every write of a stream', async () => {
    const script: Script = async (_request, sink) => {
      sink.write(tokens(idsOf('ab')));
      await new Promise((resolve) => setImmediate(resolve));
      sink.write(
        tokens(idsOf('c'), {
          finishReason: 1,
          usage: { promptTokens: 1, completionTokens: 3, cachedTokens: 4 },
        }),
      );
      sink.end();
    };
    await using test = await testFrontend({ script });
    const body = { model: 'mock', messages: MESSAGES, stream: true };
    const response = await test.post('/v1/chat/completions', {
      ...body,
      nvext: { annotations: ['llm_metrics'] },
    });
    const counts = [...(await response.text()).matchAll(/event: llm_metrics\n: (.*)\n\n/g)].map(
      ([, json]) => JSON.parse(json ?? '') as Record<string, number>,
    );
    expect(
      counts.map((each) => each['chunk_tokens']).reduce((sum = 0, each = 0) => sum + each),
    ).toBe(3);
    expect(counts.at(-1)).toMatchObject({ output_tokens: 3, cached_tokens: 4 });
    expect(counts.at(-1)?.['input_tokens']).toBeGreaterThan(2);
    expect(await (await test.post('/v1/chat/completions', body)).text()).not.toContain(
      'llm_metrics',
    );
  });
});
