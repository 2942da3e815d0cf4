/** Several models at one endpoint: one router for each block size, one index, one set of series. */
import { describe, expect, it, vi } from 'vitest';

import { testFrontend } from './scripted-worker.ts';
import type { TestFrontend } from './scripted-worker.ts';

const PROMPT = 'the same long prompt, again and again. '.repeat(8);
const WORKER_ID = { nvext: { extra_fields: ['worker_id'] } };

async function ask(test: TestFrontend, model: string): Promise<Response> {
  return test.post('/v1/completions', { model, prompt: PROMPT, max_tokens: 4, ...WORKER_ID });
}

async function workerOf(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  const answer = (await response.json()) as { nvext: { worker_id: { decode_worker_id: string } } };
  return answer.nvext.worker_id.decode_worker_id;
}

/** Lines of a metric. */
async function series(test: TestFrontend, name: string): Promise<readonly string[]> {
  const text = await (await fetch(`${test.url}/metrics`)).text();
  return text.split('\n').filter((line) => line.startsWith(`${name}{`));
}

describe('models that the same workers serve', () => {
  it('share a router: what one has routed the other finds, and every series is there once', async () => {
    await using test = await testFrontend({ workers: 3, otherModels: ['other'] });
    const first = await ask(test, 'mock');
    const decision = first.headers.get('x-dynamo-decision-id') ?? '';
    const worker = await workerOf(first);
    expect(await workerOf(await ask(test, 'other'))).toBe(worker);
    expect(await workerOf(await ask(test, 'other'))).toBe(worker);
    const blocks = await series(test, 'dynamo_component_router_kv_index_blocks');
    expect(blocks).toHaveLength(3);
    expect(new Set(blocks).size).toBe(3);
    const [requests, ...others] = await series(test, 'dynamo_component_router_requests_total');
    expect([requests?.endsWith(' 3'), others]).toEqual([true, []]);
    const answer = await fetch(`${test.url}/debug/decisions`);
    const { decisions } = (await answer.json()) as { decisions: { decision_id: string }[] };
    expect(decisions.filter(({ decision_id: id }) => id === decision)).toHaveLength(1);
    const health = (await (await fetch(`${test.url}/health`)).json()) as {
      routers: unknown[];
      instances: unknown[];
    };
    expect([health.routers.length, health.instances.length]).toEqual([1, 3]);
  });
});

describe('models of one endpoint whose blocks differ in size', () => {
  it('are both served, and every worker is counted by the router of its block size', async () => {
    await using test = await testFrontend();
    await test.addWorker({ model: 'other', blockSize: 32 });
    await vi.waitFor(async () => expect((await ask(test, 'other')).status).toBe(200), 10_000);
    const workers = [
      await workerOf(await ask(test, 'mock')),
      await workerOf(await ask(test, 'other')),
    ];
    expect(new Set(workers).size).toBe(2);
    expect(await workerOf(await ask(test, 'mock'))).toBe(workers[0]);
    const blocks = await series(test, 'dynamo_component_router_kv_index_blocks');
    const shown = blocks.map((line) => /worker_id="(\w+)"/.exec(line)?.[1]);
    expect(shown).toHaveLength(2);
    expect(new Set(shown).size).toBe(2);
    const { routers } = (await (await fetch(`${test.url}/health`)).json()) as {
      routers: { endpoint: string; block_size: number; total: number }[];
    };
    expect(routers.map(({ block_size: size }) => size).sort()).toEqual([16, 32]);
    expect(new Set(routers.map(({ endpoint }) => endpoint)).size).toBe(1);
  });
});
