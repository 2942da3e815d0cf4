/** Workers that fail or leave, several models, ids and metrics, stopping. */
import { DynamoError } from '@dynamo-ts/base';
import { FinishReason } from '@dynamo-ts/protocol';
import { describe, expect, it, vi } from 'vitest';

import {
  eventsOf,
  idsOf,
  sayScript,
  silentScript,
  testFrontend,
  tokens,
} from './scripted-worker.ts';
import type { Script } from './scripted-worker.ts';

const CHAT = { model: 'mock', messages: [{ role: 'user' as const, content: 'hi' }] };

describe('workers that fail', () => {
  it('cost the client nothing while another one can take the request', async () => {
    let calls = 0;
    const script: Script = (request, sink, context) => {
      calls += 1;
      if (calls === 1) sink.fail(new DynamoError('backend.engine_shutdown', 'stopping'));
      else if (calls === 2) throw new DynamoError('capacity.worker_overloaded', 'full');
      else sayScript('fine')(request, sink, context);
    };
    await using test = await testFrontend({ script, workers: 3 });
    const response = await test.post('/v1/chat/completions', CHAT);
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'fine' } }] });
    expect(calls).toBe(3);
  });

  it('in mid-answer give an error without internals', async () => {
    const script: Script = (_request, sink) => {
      sink.write(
        tokens(idsOf('a'), {
          finishReason: FinishReason.FINISH_REASON_ERROR,
          error: 'CUDA at 0x1',
        }),
      );
      sink.end();
    };
    await using test = await testFrontend({ script });
    const response = await test.post('/v1/chat/completions', CHAT);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('CUDA');
  });

  it('and leave altogether make 503 with Retry-After, then 404', async () => {
    const argv = ['--model-linger=2s', '--list-unavailable-models'];
    await using test = await testFrontend({ argv });
    const listed = async (): Promise<readonly unknown[]> => {
      const list = (await (await fetch(`${test.url}/v1/models`)).json()) as { data: unknown[] };
      return list.data;
    };
    expect(await listed()).toEqual([expect.not.objectContaining({ available: false })]);
    await test.workers[0]?.close();
    await vi.waitFor(async () => {
      const response = await test.post('/v1/chat/completions', CHAT);
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    });
    expect((await fetch(`${test.url}/v1/models/mock`)).status).toBe(503);
    expect(await listed()).toMatchObject([{ id: 'mock', available: false }]);
    await vi.waitFor(
      async () => {
        expect((await test.post('/v1/chat/completions', CHAT)).status).toBe(404);
      },
      { timeout: 5000 },
    );
    await using _back = await test.addWorker();
    await vi.waitFor(async () => {
      expect((await test.post('/v1/chat/completions', CHAT)).status).toBe(200);
    });
  });
});

describe('the service', () => {
  it('serves several models, and they come and go', async () => {
    await using test = await testFrontend({ model: 'one', script: sayScript('1') });
    const say = async (model: string): Promise<unknown> =>
      (await test.post('/v1/chat/completions', { ...CHAT, model })).json();
    {
      await using _two = await test.addWorker({ model: 'two', script: sayScript('2') });
      await vi.waitFor(async () => {
        expect(await say('two')).toMatchObject({ choices: [{ message: { content: '2' } }] });
      });
      for (let round = 0; round < 4; round += 1) {
        expect(await say('one')).toMatchObject({ choices: [{ message: { content: '1' } }] });
        expect(await say('two')).toMatchObject({ choices: [{ message: { content: '2' } }] });
      }
    }
    await vi.waitFor(async () => {
      const list = (await (await fetch(`${test.url}/v1/models`)).json()) as {
        data: { id: string }[];
      };
      expect(list.data.map(({ id }) => id)).toEqual(['one']);
    });
  });

  it('echoes request ids, and sends its trace to the worker and the log', async () => {
    let headers: Readonly<Record<string, string>> = {};
    const script: Script = (request, sink, context) => {
      headers = context.headers;
      return sayScript('x')(request, sink, context);
    };
    await using test = await testFrontend({ script });
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const response = await test.post('/v1/chat/completions', CHAT, {
      headers: {
        'content-type': 'application/json',
        'x-request-id': 'mine-1',
        traceparent: `00-${traceId}-b7ad6b7169203331-01`,
      },
    });
    expect(response.headers.get('x-request-id')).toBe('mine-1');
    expect(response.headers.get('x-dynamo-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(headers['traceparent']).toContain(traceId);
    expect(headers['x-request-id']).toBe('mine-1');
    await response.text();
    await vi.waitFor(() => {
      const line = test.logs.find((each) => each.includes('request completed'));
      expect(JSON.parse(line ?? '{}')).toMatchObject({ trace_id: traceId, x_request_id: 'mine-1' });
    });
  });

  it('tells its health and metrics, without a series per unknown model', async () => {
    await using test = await testFrontend();
    const health = await fetch(`${test.url}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({
      status: 'healthy',
      endpoints: ['dyn://dynamo.backend.generate'],
    });
    await test.post('/v1/chat/completions', CHAT);
    for (const model of ['a', 'b', 'c'])
      await test.post('/v1/chat/completions', { ...CHAT, model });
    const page = await (await fetch(`${test.url}/metrics`)).text();
    expect(page).toContain('dynamo_frontend_output_tokens_total{model="mock"} 5');
    expect(page).toMatch(/requests_total\{model="unknown_model".*error_type="not_found"\} 3/);
    expect(page).toContain('dynamo_frontend_model_ready{model="mock"} 1');
    expect(page).toContain('dynamo_frontend_active_requests{model="mock"} 0');
    expect(page).not.toContain('model="a"');
  });

  it('stops gracefully: refuses what is new, finishes what runs', async () => {
    const gate = Promise.withResolvers<undefined>();
    const started = Promise.withResolvers<undefined>();
    const script: Script = async (request, sink, context) => {
      started.resolve(undefined);
      await gate.promise;
      return sayScript('done')(request, sink, context);
    };
    await using test = await testFrontend({ script });
    const running = test.post('/v1/chat/completions', CHAT);
    await started.promise;
    const closed = test.frontend.close();
    await vi.waitFor(async () => {
      const refused = await test.post('/v1/chat/completions', CHAT);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    });
    expect((await fetch(`${test.url}/health`)).status).toBe(503);
    expect((await fetch(`${test.url}/live`)).status).toBe(200);
    gate.resolve(undefined);
    expect(await (await running).json()).toMatchObject({
      choices: [{ message: { content: 'done' } }],
    });
    await closed;
  });

  it('cuts what does not end in time', async () => {
    const { script, started, killed } = silentScript();
    await using test = await testFrontend({
      script,
      argv: ['--http-graceful-shutdown-timeout=50ms'],
    });
    const running = test.post('/v1/chat/completions', CHAT);
    await started;
    await test.frontend.close();
    expect((await running).status).toBe(503);
    await killed;
  });
});

describe('engines whose input is text', () => {
  it('are sent the client request as it is, and their deltas are passed on', async () => {
    let body: unknown;
    const script: Script = (request, sink) => {
      body = JSON.parse(Buffer.from(request.textInput?.bodyJson ?? '').toString());
      const deltaJson = Buffer.from('{"content":"hey","reasoning_content":"hm"}');
      sink.write(tokens(new Uint32Array(0), { deltaJson }));
      const usage = { promptTokens: 9, completionTokens: 2 };
      sink.write(
        tokens(new Uint32Array(0), { finishReason: FinishReason.FINISH_REASON_STOP, usage }),
      );
      sink.end();
    };
    await using test = await testFrontend({ script, modelInput: 'text' });
    const whole = await test.post('/v1/chat/completions', CHAT);
    expect(await whole.json()).toMatchObject({
      choices: [{ message: { content: 'hey', reasoning_content: 'hm' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 9, completion_tokens: 2 },
    });
    expect(body).toEqual(CHAT);
    await test.post('/v1/chat/completions', { ...CHAT, n: 2, temperature: 1, seed: 3 });
    expect(body).toMatchObject({ n: 1 });
  });
});

describe('echo of an engine whose input is text', () => {
  it.each([
    ['a text', 'Say ', 'Say hey', false],
    ['ids, which only the engine can read', [1, 2], 'hey', true],
  ])('of %s', async (_case, prompt, text, engineEchoes) => {
    let body: unknown;
    const script: Script = (request, sink) => {
      body = JSON.parse(Buffer.from(request.textInput?.bodyJson ?? '').toString());
      sink.write(
        tokens(new Uint32Array(0), { text: 'hey', finishReason: FinishReason.FINISH_REASON_STOP }),
      );
      sink.end();
    };
    await using test = await testFrontend({ script, modelInput: 'text' });
    const ask = { model: 'mock', prompt, echo: true };
    const whole = await test.post('/v1/completions', ask);
    expect(await whole.json()).toMatchObject({ choices: [{ text }] });
    expect(body).toEqual({ ...ask, n: 1, echo: engineEchoes });
    const stream = await test.post('/v1/completions', { ...ask, stream: true });
    const pieces = eventsOf(await stream.text()) as { choices: { text: string }[] }[];
    expect(pieces.map(({ choices }) => choices[0]?.text ?? '').join('')).toBe(text);
  });
});

describe('where a request would go', () => {
  const ASK = { ...CHAT, nvext: { annotations: ['query_instance_id'] } };

  it('is answered without running it', async () => {
    let ran = 0;
    await using test = await testFrontend({ script: () => (ran += 1) });
    const id = String(test.workers[0]?.instanceId);
    const worker = { decode_worker_id: id, decode_dp_rank: 0, prefill_worker_id: id };
    const whole = (await (await test.post('/v1/chat/completions', ASK)).json()) as {
      usage: { prompt_tokens: number };
      nvext: { token_data: number[] };
    };
    expect(whole).toMatchObject({ choices: [], nvext: { worker_id: worker } });
    expect(whole.nvext.token_data).toHaveLength(whole.usage.prompt_tokens);
    const stream = await test.post('/v1/chat/completions', { ...ASK, stream: true });
    const text = await stream.text();
    expect(text).toContain(`event: worker_instance_id\n: "${id}"\n\n`);
    expect(text).toContain('event: token_data\n: [');
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(ran).toBe(0);
  });

  it('is the worker that the client names, or 503 when that is gone', async () => {
    await using test = await testFrontend({ workers: 3 });
    for (const { instanceId } of test.workers) {
      const nvext = { decode_worker_id: String(instanceId), extra_fields: ['worker_id'] };
      const answer = await test.post('/v1/chat/completions', { ...CHAT, nvext });
      expect(await answer.json()).toMatchObject({
        nvext: { worker_id: { decode_worker_id: String(instanceId) } },
      });
    }
    const gone = await test.post('/v1/chat/completions', CHAT, {
      headers: { 'content-type': 'application/json', 'x-worker-instance-id': '1' },
    });
    expect(gone.status).toBe(503);
  });
});
