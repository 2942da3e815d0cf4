/** Runs the `dynamo` command as a user does, in a process of its own. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { vi } from 'vitest';

const BIN = fileURLToPath(new URL('../bin/dynamo.js', import.meta.url));
/** Starts are slow on a busy machine; nothing here waits that long otherwise. */
export const START_TIMEOUT_MS = 60_000;

/** A running `dynamo` command. */
export class DynamoProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  /** Exit code; 128 + n for a signal is not used here, the signal's name is given instead. */
  readonly exit: Promise<number | NodeJS.Signals | null>;
  out = '';
  err = '';

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [BIN, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (this.out += chunk));
    this.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (this.err += chunk));
    this.exit = new Promise((resolve) =>
      this.child.on('exit', (code, signal) => resolve(signal ?? code)),
    );
  }

  /** Waits for the banner. @returns the address of the endpoint */
  async ready(): Promise<string> {
    const banner = vi.waitFor(
      () => {
        const url = /dynamo is ready at (\S+)/.exec(this.out)?.[1];
        if (url === undefined || !this.out.includes('Ctrl-C'))
          throw new Error(`no banner: ${this.err}`);
        return url;
      },
      { timeout: START_TIMEOUT_MS, interval: 20 },
    );
    const ended = this.exit.then((exit) => {
      throw new Error(`ended with ${exit}: ${this.err}`);
    });
    return Promise.race([banner, ended]);
  }

  /** Process ids by service name, from the banner. */
  processIds(): ReadonlyMap<string, number> {
    const list = /^processes: (.*)$/m.exec(this.out)?.[1] ?? '';
    return new Map(
      list.split(', ').map((entry): [string, number] => {
        const [name = '', pid = ''] = entry.split(' ');
        return [name, Number(pid)];
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.exit;
  }
}

/** Whether a process is there. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Asks the endpoint for a short answer. */
export async function complete(url: string): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'mocker', prompt: 'Hello', max_tokens: 4 }),
  });
}
