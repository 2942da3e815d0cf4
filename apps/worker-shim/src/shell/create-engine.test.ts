import { loadConfig } from '@dynamo-ts/config';
import { CardFileCache } from '@dynamo-ts/preprocess';
import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it } from 'vitest';

import { WORKER_OPTIONS } from '../config.ts';
import { createEngine } from './create-engine.ts';

async function create(...argv: string[]): Promise<string> {
  const { config } = loadConfig(WORKER_OPTIONS, { argv, env: {}, command: 'test', summary: '' });
  return (await createEngine({ config, cache: new CardFileCache(), logger: nullLogger })).kind;
}

describe('createEngine', () => {
  it.each(['mocker', 'echo'])('refuses an address for %s, which would be ignored', async (kind) => {
    expect(await create('--engine', kind)).toBe(kind);
    await expect(create('--engine', kind, '--engine-url', 'http://localhost:1')).rejects.toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
  });

  it.each(['mocker', 'echo', 'llama-server'])('refuses event sockets for %s', async (kind) => {
    const url = kind === 'llama-server' ? ['--engine-url', 'http://localhost:1'] : [];
    await expect(
      create('--engine', kind, ...url, '--kv-events-endpoint', 'tcp://localhost:1'),
    ).rejects.toThrow(/has no ZeroMQ events/);
  });

  it('refuses event sockets of openai that cannot be', async () => {
    const openai = ['--engine', 'openai', '--engine-url', 'http://localhost:1'];
    expect(await create(...openai, '--kv-events-endpoint', 'tcp://localhost:1')).toBe('openai');
    await expect(create(...openai, '--kv-events-endpoint', 'localhost:1')).rejects.toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
  });

  it.each(['llama-server', 'openai'])('takes only a web address for %s', async (kind) => {
    expect(await create('--engine', kind, '--engine-url', 'http://localhost:1')).toBe(kind);
    await expect(create('--engine', kind, '--engine-url', 'ftp://localhost')).rejects.toThrow(
      /--engine-url/,
    );
  });
});
