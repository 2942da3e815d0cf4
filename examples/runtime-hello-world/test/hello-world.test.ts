import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NodeProgram, eventually } from '@dynamo-ts/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const source = (name: string): string => join(import.meta.dirname, '../src', name);

describe('hello world in two processes', { timeout: 60_000 }, () => {
  let folder = '';
  let env: Record<string, string> = {};

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hello-world-'));
    env = {
      DYN_DISCOVERY_BACKEND: 'file',
      DYN_REQUEST_PLANE: 'grpc',
      DYN_EVENT_PLANE: 'local',
      DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS: '0',
      DYN_FILE_KV: folder,
    };
  });

  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('greets, survives the death of its server, and stops when asked', async () => {
    const server = NodeProgram.start(source('server.ts'), { env });
    await using _server = server;
    await using client = NodeProgram.start(source('client.ts'), { env });
    const greetings = (): readonly string[] =>
      client.lines.filter((line) => line.startsWith('Hello'));
    await eventually(() => greetings().length >= 2, { timeoutMs: 30_000 });
    expect(greetings().slice(0, 2)).toEqual(['Hello world!', 'Hello sun!']);

    await server.kill();
    await eventually(() => client.lines.some((line) => line.startsWith('failed: ')));
    const before = greetings().length;
    const second = NodeProgram.start(source('server.ts'), { env });
    await using _second = second;
    await eventually(() => greetings().length > before, { timeoutMs: 30_000 });

    client.signal('SIGTERM');
    expect(await client.exited).toBe(0);
    second.signal('SIGTERM');
    expect(await second.exited).toBe(0);
  });

  it.each(['server.ts', 'client.ts'])(
    '%s stops when asked, also while its store is away',
    async (name) => {
      const away = { DYN_DISCOVERY_BACKEND: 'etcd', ETCD_ENDPOINTS: 'http://127.0.0.1:1' };
      await using program = NodeProgram.start(source(name), { env: { ...env, ...away } });
      await eventually(() => program.stderr.includes('etcd cannot be reached'), {
        timeoutMs: 20_000,
      });
      const askedMs = performance.now();
      program.signal('SIGTERM');
      expect(await program.exited).toBe(0);
      // A stop that hangs is forced after 30 s.
      expect(performance.now() - askedMs).toBeLessThan(15_000);
    },
  );
});
