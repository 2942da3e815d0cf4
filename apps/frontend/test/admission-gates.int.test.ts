/** The frontend's own limits. */
import { describe, expect, it, vi } from 'vitest';

import { sayScript, silentScript, testFrontend } from './scripted-worker.ts';

const PATH = '/v1/completions';
const ASK = { model: 'mock', prompt: 'x', max_tokens: 3 };
const LIMIT = ['--rejection-frontend-request-concurrency-limit=1'];

describe('the limit of concurrent requests', () => {
  it('refuses what is beyond it with 503 and a time, and takes requests again when one has left', async () => {
    const { script, started } = silentScript();
    await using test = await testFrontend({ script, argv: LIMIT });
    const leave = new AbortController();
    const first = test.post(PATH, ASK, { signal: leave.signal }).catch(() => undefined);
    await started;
    const refused = await test.post(PATH, ASK);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await refused.json()).toMatchObject({ error: { code: 'capacity.frontend_limit' } });
    // Another model has its own places.
    expect((await test.post(PATH, { ...ASK, model: 'other' })).status).toBe(404);
    leave.abort();
    await first;
    await vi.waitFor(async () => {
      const again = new AbortController();
      const waiting = test.post(PATH, ASK, { signal: again.signal }).catch(() => undefined);
      const winner = await Promise.race([
        waiting,
        new Promise<'admitted'>((resolve) => setTimeout(resolve, 200, 'admitted')),
      ]);
      again.abort();
      expect(winner).toBe('admitted');
    });
    const page = await test.telemetry.metrics.text();
    expect(page).toMatch(
      /dynamo_frontend_admission_rejection_total\{gate="request_concurrency",model="mock"\} [1-9]/,
    );
    expect(page).toContain('dynamo_frontend_admission_gate_limit{gate="request_concurrency"} 1');
  });

  it.each([
    ['answers', 'runtime_task', '--rejection-frontend-runtime-task-limit=2', 2],
    [
      'streams to workers',
      'request_plane_connection',
      '--rejection-frontend-request-plane-connection-limit=2',
      2,
    ],
  ])('holds for %s of all models', async (_what, gate, flag, limit) => {
    const { script, started } = silentScript();
    await using test = await testFrontend({ script, argv: [flag] });
    const leave = new AbortController();
    const two = { ...ASK, n: 2, temperature: 1 };
    const first = test.post(PATH, two, { signal: leave.signal }).catch(() => undefined);
    await started;
    const used = `dynamo_frontend_admission_gate_used{gate="${gate}"}`;
    await vi.waitFor(async () =>
      expect(await test.telemetry.metrics.text()).toContain(`${used} 2`),
    );
    const refused = await test.post(PATH, ASK);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    leave.abort();
    await first;
    await vi.waitFor(async () =>
      expect(await test.telemetry.metrics.text()).toContain(`${used} 0`),
    );
    const page = await test.telemetry.metrics.text();
    expect(page).toContain(`admission_rejection_total{gate="${gate}",model="mock"} 1`);
    expect(page).toContain(`admission_gate_limit{gate="${gate}"} ${limit}`);
  });

  it('is given back by requests that end by themselves', async () => {
    await using test = await testFrontend({ script: sayScript('abc'), argv: LIMIT });
    for (let turn = 0; turn < 3; turn += 1) expect((await test.post(PATH, ASK)).status).toBe(200);
  });
});
