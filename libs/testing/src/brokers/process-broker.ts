import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { eventually } from '../eventually.ts';
import type { Broker, BrokerPlace, BrokerSpec } from './broker.ts';
import { freePort } from './free-port.ts';

/** A broker that is a child process of the test. It is killed with the test process. */
export class ProcessBroker implements Broker {
  readonly address: string;
  readonly #spec: BrokerSpec;
  readonly #place: BrokerPlace;
  #child: ChildProcess | undefined;
  #output = '';
  readonly #killChild = (): void => {
    this.#child?.kill('SIGKILL');
  };

  private constructor(spec: BrokerSpec, place: BrokerPlace) {
    this.#spec = spec;
    this.#place = place;
    this.address = `${place.host}:${place.port}`;
    process.on('exit', this.#killChild);
  }

  /** Starts the program of `spec` on a free port. */
  static async launch(spec: BrokerSpec): Promise<ProcessBroker> {
    const broker = new ProcessBroker(spec, {
      host: '127.0.0.1',
      port: await freePort(),
      peerPort: await freePort(),
      dataPath: await mkdtemp(join(tmpdir(), `dynamo-test-${spec.name}-`)),
    });
    await broker.start();
    return broker;
  }

  async start(): Promise<void> {
    if (this.#child) throw new Error(`${this.#spec.name} runs already`);
    const child = spawn(this.#spec.binary, [...this.#spec.commandLine(this.#place)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-4000);
      });
    }
    await eventually(
      () => {
        if (child.exitCode !== null) return true;
        return this.#spec.isReady(this.address);
      },
      { timeoutMs: 30_000, what: `${this.#spec.name} ready` },
    );
    if (child.exitCode !== null) {
      throw new Error(`${this.#spec.name} ended with ${child.exitCode}: ${this.#output}`);
    }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async wipe(): Promise<void> {
    if (this.#child) throw new Error(`kill ${this.#spec.name} before wiping it`);
    await rm(this.#place.dataPath, { recursive: true, force: true });
  }

  async pause(): Promise<void> {
    this.#child?.kill('SIGSTOP');
  }

  async resume(): Promise<void> {
    this.#child?.kill('SIGCONT');
  }

  async close(): Promise<void> {
    process.off('exit', this.#killChild);
    await this.kill();
    await this.wipe();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
