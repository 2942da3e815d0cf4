import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** A command in a process group of its own, so that everything it starts ends with it. */
export class ProcessGroup implements AsyncDisposable {
  readonly name: string;
  readonly #child: ChildProcess;
  #output = '';

  constructor(name: string, command: readonly [string, ...string[]], env: NodeJS.ProcessEnv) {
    const [file, ...args] = command;
    this.name = name;
    this.#child = spawn(file, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const collect = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-20_000);
    };
    this.#child.stdout?.on('data', collect);
    this.#child.stderr?.on('data', collect);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The last 20,000 characters that it wrote. */
  get output(): string {
    return this.#output;
  }

  /** Makes sure that it runs. @throws when it has ended */
  throwIfEnded(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) return;
    throw new Error(`${this.name} has ended:\n${this.#output.slice(-2000)}`);
  }

  /** Ends the group: SIGTERM, and SIGKILL after three seconds. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#signal('SIGTERM');
    const kill = setTimeout(() => this.#signal('SIGKILL'), 3000);
    await ended;
    clearTimeout(kill);
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // It has just ended.
    }
  }
}
