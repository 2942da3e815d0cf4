import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import OpenAI from 'openai';

import { ComposeStack } from './compose-stack.ts';

const WORKERS = 4;
const ROUTERS = 2;
const STREAMS = 50;
/** Tokens. */
const LONG_ANSWER = 200;

describe('docker compose up --build --scale worker=4 --scale router=2', () => {
  let stack: ComposeStack;
  let model: string;

  beforeAll(async () => {
    stack = await ComposeStack.up({ workers: WORKERS, routers: ROUTERS, port: 18_000 });
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

  /** Streams without end until stopped; none may fail or differ. */
  async function underLoad(fault: (answered: () => number) => Promise<void>): Promise<void> {
    const undisturbed = await ask(LONG_ANSWER);
    const failures: unknown[] = [];
    let answered = 0;
    let stop = false;
    const load = Array.from({ length: STREAMS }, async (_, client) => {
      // Not in step: at any time some answers are in their middle.
      await delay(client * 25);
      while (!stop) {
        await ask(LONG_ANSWER).then(
          (text) => (text === undisturbed ? (answered += 1) : failures.push(text)),
          (error: unknown) => failures.push(error),
        );
      }
    });
    try {
      await vi.waitFor(() => expect(answered).toBeGreaterThan(STREAMS / 2), { timeout: 60_000 });
      await fault(() => answered);
      const before = answered;
      await vi.waitFor(() => expect(answered).toBeGreaterThan(before + STREAMS), {
        timeout: 60_000,
      });
    } finally {
      stop = true;
      await Promise.all(load);
    }
    expect(failures).toEqual([]);
  }

  it('fails no request while a killed worker is restarted by its policy', async () => {
    const [victim] = await stack.containers('worker');
    if (victim === undefined) throw new Error('no worker container');
    await underLoad(async () => {
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
    });
    const metrics = await (await fetch(`${stack.url}/metrics`)).text();
    const moves = /^dynamo_frontend_model_migration_total\{.*"ongoing_request"\} (\d+)$/m;
    expect(Number(moves.exec(metrics)?.[1] ?? 0)).toBeGreaterThan(0);
  });

  it(`fails none of ${STREAMS} streams while workers, brokers and routers go and come`, async () => {
    await underLoad(async () => {
      const [worker] = await stack.containers('worker');
      const [router] = await stack.containers('router');
      if (worker === undefined || router === undefined) throw new Error('containers are missing');
      await stack.kill(worker);
      await stack.compose('restart', 'etcd');
      await stack.compose('restart', 'nats');
      await stack.kill(router);
      await stack.compose('restart', 'router');
      await stack.scale('worker', 2);
    });
  }, 300_000);
});
