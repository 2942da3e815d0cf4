/** Runs the `dynamo` command as a user does, in a process of its own. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { eventually } from './eventually.ts';

const BIN = fileURLToPath(new URL('../../../apps/cli/bin/dynamo.js', import.meta.url));
/** Starts are slow on a busy machine; nothing here waits that long otherwise. */
export const DYNAMO_START_TIMEOUT_MS = 60_000;

/** What a {@link DynamoProcess} is given beside its arguments. */
export interface DynamoProcessOptions {
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** A file descriptor. @default a pipe that `out` collects */
  readonly stdout?: number | undefined;
}

/** A running `dynamo` command. */
export class DynamoProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  /** Exit code; 128 + n for a signal is not used here, the signal's name is given instead. */
  readonly exit: Promise<number | NodeJS.Signals | null>;
  out = '';
  err = '';

  constructor(args: readonly string[], options: DynamoProcessOptions = {}) {
    this.child = spawn(process.execPath, [BIN, ...args], {
      stdio: ['ignore', options.stdout ?? 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    this.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (this.out += chunk));
    this.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (this.err += chunk));
    this.exit = new Promise((resolve) =>
      this.child.on('exit', (code, signal) => resolve(signal ?? code)),
    );
  }

  /** Waits for the banner. @returns the address of the endpoint */
  async ready(): Promise<string> {
    const banner = eventually(
      () =>
        this.out.includes('Ctrl-C') ? /dynamo is ready at (\S+)/.exec(this.out)?.[1] : undefined,
      { timeoutMs: DYNAMO_START_TIMEOUT_MS },
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
