import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

import { afterEach, describe, expect, it, vi } from 'vitest';

const SCRIPT = fileURLToPath(new URL('./run-service.fixture.ts', import.meta.url));
const started: ChildProcess[] = [];

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

/** Runs the test service in a process of its own. */
function run(args: readonly string[], stdio: 'plain' | 'ipc' = 'plain') {
  const child = spawn(process.execPath, ['--conditions=@dynamo-ts/source', SCRIPT, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', ...(stdio === 'ipc' ? ['ipc' as const] : [])],
  });
  started.push(child);
  const output = { out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (output.out += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (output.err += chunk));
  const exit = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const running = async () => vi.waitFor(() => expect(output.out).toContain('started'), 10_000);
  return { child, output, exit, running };
}

describe('runService', { timeout: 30_000 }, () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('closes at %s and exits with 0', async (signal) => {
    const { child, output, exit, running } = run([]);
    await running();
    child.kill(signal);
    expect(await exit).toBe(0);
    await vi.waitFor(() => expect(output.out).toContain('closed'));
  });

  it('closes a service whose start it interrupts, to the end', async () => {
    const { child, output, exit, running } = run(['--starts-for-ever', '--close-delay', '200ms']);
    await running();
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
    await vi.waitFor(() => expect(output.out).toContain('closed'));
    expect(output.err).toBe('');
  });

  it('takes signals that come together as one', async () => {
    const { child, output, exit, running } = run(['--close-delay', '200ms']);
    await running();
    child.kill('SIGINT');
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
    await vi.waitFor(() => expect(output.out).toContain('closed'));
  });

  it('ends at once at a second Ctrl-C', async () => {
    const { child, output, exit, running } = run(['--close-delay', '1h']);
    await running();
    child.kill('SIGINT');
    await vi.waitFor(
      () => {
        child.kill('SIGINT');
        expect(child.exitCode).toBe(130);
      },
      { timeout: 10_000, interval: 300 },
    );
    expect(await exit).toBe(130);
    expect(output.out).not.toContain('closed');
  });

  it('ends a stop that takes too long with 70', async () => {
    const { child, output, exit, running } = run(['--close-delay', '1h', '--stop-timeout', '50ms']);
    await running();
    child.kill('SIGTERM');
    expect(await exit).toBe(70);
    expect(output.out).not.toContain('closed');
  });

  it('exits with 0 when it stops within its time', async () => {
    const { child, exit, running } = run(['--close-delay', '10ms', '--stop-timeout', '1h']);
    await running();
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
  });

  it('stops when its launcher is gone', async () => {
    const { child, output, exit, running } = run([], 'ipc');
    await running();
    child.disconnect();
    expect(await exit).toBe(0);
    await vi.waitFor(() => expect(output.out).toContain('closed'));
  });

  it('says in one line what a user can mend and exits with 1', async () => {
    const cases = [
      [['--nope'], 'unknown flag --nope'],
      [['--fail', 'config.port_in_use'], 'cannot start'],
      [['--fail', 'full-disk'], 'free space on that disk'],
    ] as const;
    for (const [args, message] of cases) {
      const { output, exit } = run(args);
      expect(await exit).toBe(1);
      await vi.waitFor(() => expect(output.err).toContain(message));
      expect(output.err.trim().split('\n')).toHaveLength(1);
    }
  });

  it('shows where a defect is', async () => {
    const { output, exit } = run(['--fail', 'defect']);
    expect(await exit).toBe(1);
    await vi.waitFor(() => expect(output.err).toMatch(/\n\s+at /));
  });

  it('prints its help', async () => {
    const { output, exit } = run(['--help']);
    expect(await exit).toBe(0);
    await vi.waitFor(() => expect(output.out).toContain('Usage: test service [flags]'));
  });

  it('asks its own health', async () => {
    const server = createServer((request, response) => {
      response.writeHead(request.url === '/health' ? 200 : 404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    expect(await run(['health', '--port', String(port)]).exit).toBe(0);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    expect(await run(['health', '--port', String(port)]).exit).toBe(1);
  });
});
