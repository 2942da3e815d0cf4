import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NodeProgram, eventually } from '@dynamo-ts/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const WORKER = join(import.meta.dirname, '../src/worker.ts');
const FRONTEND = join(import.meta.dirname, '../../../apps/frontend/src/main.ts');

describe('an own worker behind the frontend', { timeout: 60_000 }, () => {
  let folder = '';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'own-worker-'));
  });

  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('serves chat and completions, and leaves with its process', async () => {
    const env = {
      DYN_DISCOVERY_BACKEND: 'file',
      DYN_REQUEST_PLANE: 'grpc',
      DYN_EVENT_PLANE: 'local',
      DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS: '0',
      DYN_FILE_KV: folder,
    };
    await using frontend = NodeProgram.start(FRONTEND, {
      env,
      args: ['--http-port=0', '--http-host=127.0.0.1'],
    });
    await using worker = NodeProgram.start(WORKER, { env });
    const [, url] = await eventually(() => /(http:\/\/127\.0\.0\.1:\d+)/.exec(frontend.stderr), {
      timeoutMs: 30_000,
    });
    const models = async (): Promise<string[]> => {
      const list = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
      return list.data.map(({ id }) => id);
    };
    await eventually(async () => (await models()).includes('shouter'), { timeoutMs: 30_000 });

    const post = async (path: string, body: object): Promise<unknown> =>
      (
        await fetch(`${url}${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ model: 'shouter', ...body }),
        })
      ).json();
    expect(
      await post('/v1/chat/completions', { messages: [{ role: 'user', content: 'hello world' }] }),
    ).toMatchObject({
      choices: [{ message: { content: 'HELLO WORLD' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 2, completion_tokens: 2 },
    });
    expect(await post('/v1/completions', { prompt: 'one two three', max_tokens: 2 })).toMatchObject(
      { choices: [{ text: 'ONE TWO', finish_reason: 'length' }] },
    );

    worker.signal('SIGTERM');
    expect(await worker.exited).toBe(0);
    await eventually(async () => (await models()).length === 0);
  });
});
