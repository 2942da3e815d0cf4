import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { DynamoError } from '@dynamo-ts/base';
import { createLogger } from '@dynamo-ts/telemetry';
import { expect, it, vi } from 'vitest';

import { SupervisedProcess } from './supervised-process.ts';

/** Ends well when it is told to. */
const SERVICE = `
  process.on('SIGINT', () => process.exit(0));
  setInterval(() => {}, 1000);
`;

/** Finds its port taken when it is started for the second time. */
const PORT_LOSER = (marker: string): string => `
  const { existsSync, writeFileSync } = require('node:fs');
  if (existsSync('${marker}')) {
    const message = 'the port is in use';
    process.send({ type: 'dynamo:start-failed', code: 'config.port_in_use', message });
    process.exit(1);
  }
  writeFileSync('${marker}', '');
  process.send({ type: 'dynamo:started' });
  setInterval(() => {}, 1000);
`;

function supervise(script = SERVICE) {
  const lines: string[] = [];
  const failures: DynamoError[] = [];
  const supervised = new SupervisedProcess({
    name: 'worker-1',
    command: ['-e', script],
    env: process.env,
    logger: createLogger({ service: 'up', destination: { write: (line) => lines.push(line) } }),
    onFailure: (error) => failures.push(error),
  });
  supervised.start();
  supervised.ready();
  return { supervised, lines, failures };
}

it('starts a service again that ended by itself', async () => {
  const { supervised, lines } = supervise();
  const first = supervised.pid;
  supervised.kill('SIGKILL');
  await vi.waitFor(() => expect(supervised.pid).not.toBe(first), 10_000);
  expect(lines.join('')).toContain('starting it again');
  await supervised.close();
});

it.each(['SIGINT', 'SIGKILL'] as const)('lets a retired service end (%s)', async (signal) => {
  const { supervised, lines } = supervise();
  const { pid } = supervised;
  supervised.retire();
  supervised.kill(signal);
  await supervised.close();
  expect(supervised.pid).toBe(pid);
  expect(lines).toEqual([]);
});

it('gives up a service whose port somebody else has taken', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'dynamo-test-'));
  const marker = join(folder.path, 'started-before');
  const { supervised, lines, failures } = supervise(PORT_LOSER(marker));
  await supervised.started;
  supervised.kill('SIGKILL');
  await vi.waitFor(() => expect(failures).toHaveLength(1), 10_000);
  expect(failures[0]).toMatchObject({
    code: 'config.port_in_use',
    message: 'worker-1 could not start: the port is in use',
  });
  expect(lines).toHaveLength(1);
  await supervised.close();
});
