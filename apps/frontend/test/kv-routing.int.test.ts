/** Placement by cached prefixes, as clients and operators see it. Workers without events are scored by what went to them. */
import { Decision } from '@dynamo-ts/protocol';
import { describe, expect, it, vi } from 'vitest';

import { eventsOf, sayScript, silentScript, testFrontend } from './scripted-worker.ts';
import type { TestFrontend } from './scripted-worker.ts';

const USAGE = { promptTokens: 0, completionTokens: 0, cachedTokens: 48 };
const LONG = 'the same long prompt, again and again. '.repeat(8);
const PROMPT = { model: 'mock', prompt: LONG, max_tokens: 4 };
const JSON_TYPE = { 'content-type': 'application/json' };

interface Answer {
  readonly id: string | null;
  readonly worker: string;
}

/** Sends a prompt and says who took it and which decision that was. */
async function ask(
  test: TestFrontend,
  fields: Readonly<Record<string, unknown>> = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const body = { ...PROMPT, nvext: { extra_fields: ['worker_id'] }, ...fields };
  const response = await test.post('/v1/completions', body, {
    headers: { ...JSON_TYPE, ...headers },
  });
  expect(response.status).toBe(200);
  const answer = (await response.json()) as { nvext: { worker_id: { decode_worker_id: string } } };
  return {
    id: response.headers.get('x-dynamo-decision-id'),
    worker: answer.nvext.worker_id.decode_worker_id,
  };
}

const decisionAt = async (test: TestFrontend, path: string): Promise<unknown> =>
  (await fetch(`${test.url}/debug/decisions${path}`)).json();

describe('requests with the same long prompt', () => {
  it('go to one worker, and the record of the decision says why', async () => {
    await using test = await testFrontend({
      workers: 3,
      script: sayScript('four', { usage: USAGE }),
    });
    const first = await ask(test);
    const others = [await ask(test), await ask(test), await ask(test)];
    expect(new Set(others.map(({ worker }) => worker))).toEqual(new Set([first.worker]));
    const [second] = others;
    await vi.waitFor(async () => {
      const decision = Decision.fromJSON(await decisionAt(test, `/${second?.id}`));
      expect(decision).toMatchObject({ mode: 'kv', endpoint: 'dynamo.backend.generate' });
      expect(decision.predictedCachedTokens).toBeGreaterThan(LONG.length / 2);
      expect(decision.candidates).toHaveLength(3);
      expect(decision.outcome).toMatchObject({
        kind: 'completed',
        cachedTokens: 48,
        outputTokens: 4,
      });
    });
    expect(await decisionAt(test, '?limit=2')).toMatchObject({
      decisions: [{ decision_id: others[2]?.id }, { decision_id: others[1]?.id }],
    });
  });

  it('name their decision in a stream too, and in the log', async () => {
    await using test = await testFrontend();
    const response = await test.post('/v1/completions', { ...PROMPT, stream: true });
    const id = response.headers.get('x-dynamo-decision-id');
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-z]+$/);
    expect(eventsOf(await response.text())).not.toHaveLength(0);
    await vi.waitFor(() => {
      const line = test.logs.find((each) => each.includes('request completed'));
      expect(JSON.parse(line ?? '{}')).toMatchObject({ decision_id: id });
    });
  });

  it.each([false, true])('name the decision of every choice (stream: %s)', async (stream) => {
    await using test = await testFrontend({ workers: 2 });
    const response = await test.post('/v1/completions', { ...PROMPT, n: 3, stream });
    const ids = response.headers.get('x-dynamo-decision-id')?.split(', ') ?? [];
    const requestId = response.headers.get('x-dynamo-request-id');
    await response.text();
    expect(new Set(ids).size).toBe(3);
    for (const [choice, id] of ids.entries()) {
      const record = Decision.fromJSON(await decisionAt(test, `/${id}`));
      expect(record.requestId.startsWith(`${requestId}-${choice}/`)).toBe(true);
    }
  });

  it('may be spread by an override of the request', async () => {
    await using test = await testFrontend({ workers: 4 });
    const workers = new Set<string>();
    for (let round = 0; round < 24; round += 1)
      workers.add(
        (await ask(test, { router_config_override: { overlap_score_credit: 0 } })).worker,
      );
    expect(workers.size).toBeGreaterThan(1);
  });

  it('of one tenant are not taken for those of another', async () => {
    await using test = await testFrontend({ workers: 2 });
    await ask(test, {}, { 'x-tenant-id': 'a' });
    const { id } = await ask(test, {}, { 'x-tenant-id': 'b' });
    expect(await decisionAt(test, `/${id}`)).not.toHaveProperty('predicted_cached_tokens');
    const again = await ask(test, {}, { 'x-tenant-id': 'a' });
    expect(await decisionAt(test, `/${again.id}`)).toHaveProperty('predicted_cached_tokens');
  });
});

describe('a session', () => {
  it('stays on its worker, whatever its prompts are', async () => {
    await using test = await testFrontend({
      workers: 4,
      argv: ['--router-session-affinity-ttl-secs=60'],
    });
    const headers = { 'x-dynamo-session-id': 'mine' };
    const workers = new Set<string>();
    for (let turn = 0; turn < 12; turn += 1)
      workers.add((await ask(test, { prompt: `${turn} ${LONG}` }, headers)).worker);
    expect(workers.size).toBe(1);
  });
});

describe('bad wishes', () => {
  it.each([
    [{ router_config_override: { overlap: 1 } }, {}, 'router_config_override.overlap'],
    [
      { router_config_override: { router_temperature: -1 } },
      {},
      'router_config_override.router_temperature',
    ],
    [{ nvext: { routing_constraints: { required_taints: 1 } } }, {}, 'nvext.routing_constraints'],
    [{}, { 'x-dynamo-dp-rank': 'first' }, 'x-dynamo-dp-rank'],
  ])('get 400 with the name of the field: %j %j', async (fields, headers, param) => {
    await using test = await testFrontend();
    const response = await test.post(
      '/v1/completions',
      { ...PROMPT, ...fields },
      { headers: { ...JSON_TYPE, ...headers } },
    );
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string } };
    expect(error.param.startsWith(param)).toBe(true);
  });

  it('get 503 when no worker has what is required', async () => {
    await using test = await testFrontend();
    const response = await test.post('/v1/completions', {
      ...PROMPT,
      nvext: { routing_constraints: { required_taints: ['gpu/h100'] } },
    });
    expect(response.status).toBe(503);
  });
});

describe('workers over their busy threshold', () => {
  it('take no more requests: 529 with Retry-After, until there is room', async () => {
    const { script, started } = silentScript();
    await using test = await testFrontend({
      script,
      argv: ['--active-prefill-tokens-threshold=100'],
    });
    const controller = new AbortController();
    const running = test.post('/v1/completions', PROMPT, { signal: controller.signal });
    await started;
    const refused = await test.post('/v1/completions', PROMPT);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([529, '1']);
    controller.abort();
    await expect(running).rejects.toThrow(/abort/i);
    const waiting = new AbortController();
    await vi.waitFor(async () => {
      const again = test.post('/v1/completions', PROMPT, {
        signal: AbortSignal.any([waiting.signal, AbortSignal.timeout(200)]),
      });
      await expect(again).rejects.toThrow(/timeout|abort/i); // taken, and silent
    });
  });
});

describe('the router of the frontend', () => {
  it('is on /health and /metrics', async () => {
    await using test = await testFrontend({ workers: 2 });
    await ask(test);
    expect(await (await fetch(`${test.url}/health`)).json()).toMatchObject({
      routers: [{ endpoint: 'dynamo.backend.generate', restored: 0, total: 0 }],
    });
    const page = await (await fetch(`${test.url}/metrics`)).text();
    expect(page).toMatch(/dynamo_component_router_requests_started_total\{.*\} 1/);
    expect(page).toContain('dynamo_component_router_kv_index_blocks');
  });

  it('lets a model be served when as many workers as must be there have come', async () => {
    await using test = await testFrontend({
      workers: 0,
      argv: ['--router-min-initial-workers=2'],
    });
    const models = async (): Promise<unknown> => {
      const { data } = (await (await fetch(`${test.url}/v1/models`)).json()) as { data: unknown };
      return data;
    };
    await using _first = await test.addWorker();
    await vi.waitFor(async () => {
      const response = await test.post('/v1/completions', PROMPT);
      expect(response.status).toBe(503); // known, and not served yet
    });
    expect(await models()).toEqual([]);
    await using _second = await test.addWorker();
    await vi.waitFor(async () => expect(await models()).toHaveLength(1));
    expect((await test.post('/v1/completions', PROMPT)).status).toBe(200);
  });

  it('shows decisions to this machine alone', async () => {
    await using test = await testFrontend({ argv: ['--http-host=0.0.0.0', '--system-port=-1'] });
    const url = `http://127.0.0.1:${new URL(test.url).port}`;
    expect((await fetch(`${url}/debug/decisions`)).status).toBe(404);
  });
});
