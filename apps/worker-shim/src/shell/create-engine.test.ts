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

  it.each(['llama-server', 'openai'])('takes only a web address for %s', async (kind) => {
    expect(await create('--engine', kind, '--engine-url', 'http://localhost:1')).toBe(kind);
    await expect(create('--engine', kind, '--engine-url', 'ftp://localhost')).rejects.toThrow(
      /--engine-url/,
    );
  });
});
