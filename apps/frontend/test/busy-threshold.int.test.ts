/** `/busy_threshold`: what operators read and set. */
import { describe, expect, it } from 'vitest';

import { testFrontend } from './scripted-worker.ts';
import type { TestFrontend } from './scripted-worker.ts';

const PATH = '/busy_threshold';

const post = async (test: TestFrontend, body: unknown): Promise<[number, unknown]> => {
  const response = await test.post(PATH, body);
  return [response.status, await response.json()];
};
const list = async (test: TestFrontend): Promise<unknown> => (await fetch(test.url + PATH)).json();

describe('busy thresholds', () => {
  it('are set, read, listed and taken away by model', async () => {
    await using test = await testFrontend({ aliases: ['short'] });
    expect(await list(test)).toEqual({ thresholds: [] });
    expect(await post(test, { model: 'mock' })).toEqual([200, { model: 'mock' }]);
    const set = { model: 'mock', active_decode_blocks_threshold: 0.8 };
    expect(await post(test, { ...set, model: 'short' })).toEqual([200, set]);
    const more = { ...set, active_prefill_tokens_threshold: 5000 };
    expect(await post(test, { model: 'mock', active_prefill_tokens_threshold: 5000 })).toEqual([
      200,
      more,
    ]);
    expect(await list(test)).toEqual({ thresholds: [more] });
    expect(await post(test, { model: 'mock', active_decode_blocks_threshold: null })).toEqual([
      200,
      { model: 'mock', active_prefill_tokens_threshold: 5000 },
    ]);
  });

  it('start as configured, for every model', async () => {
    await using test = await testFrontend({
      argv: ['--active-prefill-tokens-threshold-frac', '2.5'],
    });
    expect(await list(test)).toEqual({
      thresholds: [{ model: 'mock', active_prefill_tokens_threshold_frac: 2.5 }],
    });
  });

  it.each([
    [{ model: 'none' }, 404],
    [{ model: 'mock', active_decode_blocks_threshold: 1.5 }, 400],
    [{ model: 'mock', active_prefill_tokens_threshold: -1 }, 400],
    [{ model: 'mock', active_decode_blocks_threshold: '0.5' }, 422],
    [{ model: 'mock', surprise: 1 }, 422],
    [{ active_decode_blocks_threshold: 0.5 }, 422],
    [[], 422],
    ['{"model":', 400],
    [{ model: 'x'.repeat(70_000) }, 413],
  ])('are refused for %j with %i', async (body, status) => {
    await using test = await testFrontend();
    const [actual, answer] = await post(test, body);
    expect(actual).toBe(status);
    expect(answer).toEqual({ error: expect.any(String) as unknown });
  });

  it('are not there when operators want no such route', async () => {
    await using test = await testFrontend({ argv: ['--disable-frontend-admin-api'] });
    expect((await fetch(test.url + PATH)).status).toBe(404);
  });
});
