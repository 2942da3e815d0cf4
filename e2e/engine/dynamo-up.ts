/** `dynamo up` as a process of its own, as a user starts it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

const ROOT = new URL('../..', import.meta.url).pathname;

/** A running `dynamo up`; disposing it is Ctrl-C. */
export class DynamoUp implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
  }

  /** Starts it and waits for its banner. */
  static async start(args: readonly string[]): Promise<DynamoUp> {
    const argv = ['apps/cli/bin/dynamo.js', 'up', '--port', '0', ...args];
    const child = spawn(process.execPath, argv, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    const url = await new Promise<string>((resolve, reject) => {
      let output = '';
      const read = (chunk: Buffer): void => {
        output += chunk.toString();
        const banner = /ready at (http:\/\/\S+)/.exec(output);
        if (banner?.[1] !== undefined) resolve(banner[1].replace('localhost', '127.0.0.1'));
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', () => {
        reject(new Error(`dynamo up ended before it was ready:\n${output}`));
      });
    });
    return new DynamoUp(url, child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGINT');
    await exited;
  }
}
