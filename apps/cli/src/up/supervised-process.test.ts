import { createLogger } from '@dynamo-ts/telemetry';
import { expect, it, vi } from 'vitest';

import { SupervisedProcess } from './supervised-process.ts';

/** Ends well when it is told to. */
const SERVICE = `
  process.on('SIGINT', () => process.exit(0));
  setInterval(() => {}, 1000);
`;

function supervise(): { supervised: SupervisedProcess; lines: string[] } {
  const lines: string[] = [];
  const supervised = new SupervisedProcess({
    name: 'worker-1',
    command: ['-e', SERVICE],
    env: process.env,
    logger: createLogger({ service: 'up', destination: { write: (line) => lines.push(line) } }),
    onStartFailure: () => undefined,
  });
  supervised.start();
  supervised.ready();
  return { supervised, lines };
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
