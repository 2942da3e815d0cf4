import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NodeProgram, eventually } from '@dynamo-ts/testing';
import { expect, it } from 'vitest';

const source = (name: string): string => join(import.meta.dirname, '../src', name);

it('a stop travels from the client through the middle to the server', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cancellation-'));
  const env = {
    DYN_DISCOVERY_BACKEND: 'file',
    DYN_REQUEST_PLANE: 'grpc',
    DYN_EVENT_PLANE: 'local',
    DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS: '0',
    DYN_FILE_KV: folder,
  };
  try {
    await using server = NodeProgram.start(source('server.ts'), { env });
    await using middle = NodeProgram.start(source('middle.ts'), { env });
    await using client = NodeProgram.start(source('client.ts'), { env });
    expect(await client.exited).toBe(0);
    const numbers = client.lines.slice(0, -1).map(Number);
    expect(numbers.slice(0, 10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    // What was on its way when the client stopped is still delivered, and no more.
    expect(numbers.length).toBeLessThan(15);
    expect(client.lines.at(-1)).toBe('the stream has ended');
    await eventually(() => server.lines.some((line) => line.startsWith('stopped before')));
    expect(middle.lines).toEqual(['serving']);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 60_000);
