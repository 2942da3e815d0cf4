import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import OpenAI from 'openai';

import { ComposeStack } from './compose-stack.ts';

const WORKERS = 3;
/** Tokens. */
const LONG_ANSWER = 200;

describe('docker compose up --build --scale worker=3', () => {
  let stack: ComposeStack;
  let model: string;

  beforeAll(async () => {
    stack = await ComposeStack.up({ workers: WORKERS, port: 18_000 });
    model = await stack.servesModel();
    await vi.waitFor(
      async () => {
        const health = (await (await fetch(`${stack.url}/health`)).json()) as {
          instances: readonly { endpoint: string }[];
        };
        const workers = health.instances.filter(({ endpoint }) => endpoint === 'generate');
        expect(workers).toHaveLength(WORKERS);
      },
      { timeout: 60_000, interval: 500 },
    );
  });

  afterAll(async () => {
    await stack[Symbol.asyncDispose]();
  });

  async function ask(maxTokens: number): Promise<string> {
    const client = new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const stream = await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'Hello there' }],
      max_completion_tokens: maxTokens,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let completionTokens = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
    }
    expect(completionTokens).toBe(maxTokens);
    return text;
  }

  it('streams an answer with usage to the official client', async () => {
    expect((await ask(16)).length).toBeGreaterThan(0);
  });

  it('writes one trace id into the logs of frontend, router and worker', async () => {
    const traceId = 'a1b2c3d4e5f60718293a4b5c6d7e8f90';
    const response = await fetch(`${stack.url}/v1/completions`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
      },
      body: JSON.stringify({ model, prompt: 'trace me', max_tokens: 4 }),
    });
    expect(response.status).toBe(200);
    for (const service of ['frontend', 'router', 'worker']) {
      await vi.waitFor(
        async () => {
          const lines = await stack.logs(service);
          expect(lines.filter((line) => line.trace_id === traceId).length).toBeGreaterThan(0);
        },
        { timeout: 10_000, interval: 500 },
      );
    }
  });

  it('fails no request while a killed worker is restarted by its policy', async () => {
    const [victim] = await stack.containers('worker');
    if (victim === undefined) throw new Error('no worker container');
    const undisturbed = await ask(LONG_ANSWER);
    const failures: unknown[] = [];
    let answered = 0;
    let stop = false;
    const load = Array.from({ length: 6 }, async () => {
      while (!stop) {
        // Answers of seconds, so that the worker dies in the middle of some of them.
        await ask(LONG_ANSWER).then(
          (text) => (text === undisturbed ? (answered += 1) : failures.push(text)),
          (error: unknown) => failures.push(error),
        );
      }
    });
    await vi.waitFor(() => expect(answered).toBeGreaterThan(5), { timeout: 60_000 });
    // The container's first process is the init; killing it from the host is a crash to Docker.
    process.kill(victim.pid, 'SIGKILL');
    await vi.waitFor(
      async () => {
        const now = (await stack.containers('worker')).find(({ id }) => id === victim.id);
        expect(now?.restarts).toBeGreaterThan(victim.restarts);
        expect(now?.status).toBe('running');
      },
      { timeout: 60_000, interval: 500 },
    );
    const before = answered;
    await vi.waitFor(() => expect(answered).toBeGreaterThan(before + 10), { timeout: 60_000 });
    stop = true;
    await Promise.all(load);
    expect(failures).toEqual([]);
    const metrics = await (await fetch(`${stack.url}/metrics`)).text();
    const moves = /^dynamo_frontend_model_migration_total\{.*"ongoing_request"\} (\d+)$/m;
    expect(Number(moves.exec(metrics)?.[1] ?? 0)).toBeGreaterThan(0);
  });
});
