/**
 * One service in a process of its own, started again when it dies.
 *
 * The child stays in the launcher's process group, so that a terminal's Ctrl-C reaches it, and holds an IPC channel whose
 * end tells it that the launcher is gone, however that ended: no child outlives the launcher.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { AbortReasonError, Backoff, DynamoError, hasCode, systemClock } from '@dynamo-ts/base';
import { tryServiceMessage } from '@dynamo-ts/config';
import type { ServiceMessage } from '@dynamo-ts/config';
import type { Logger } from '@dynamo-ts/telemetry';

/** Settings of a {@link SupervisedProcess}. */
export interface SupervisedProcessOptions {
  readonly name: string;
  /** Script and arguments. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  /** Told when the process ends by itself before `ready()`, or later for want of its port: it will not be started again. */
  readonly onFailure: (error: DynamoError) => void;
}

/** Where Node keeps compiled code by default; services find there what the launcher and earlier runs compiled. */
const COMPILE_CACHE = join(tmpdir(), 'node-compile-cache');
const ENDED_WELL = 'exit code 0';
const RESTART_INITIAL_MS = 500;
const RESTART_MAX_MS = 10_000;
/** A process that ran this long had started well; the next restart is quick again. */
const HEALTHY_AFTER_MS = 10_000;
/** A terminal's Ctrl-C reaches launcher and services in any order: one that ended well may just be the first. */
const SIGNAL_SPREAD_MS = 200;

/** Keeps one process running. */
export class SupervisedProcess {
  readonly #options: SupervisedProcessOptions;
  readonly #backoff = new Backoff({
    initialMs: RESTART_INITIAL_MS,
    maxMs: RESTART_MAX_MS,
    jitterRatio: 0,
  });
  readonly #stopping = new AbortController();
  readonly #started: PromiseWithResolvers<void> = Promise.withResolvers();
  #child: ChildProcess | undefined;
  /** Why the latest start failed, as the service says. */
  #startError: DynamoError | undefined;
  #restarts = false;
  #done: Promise<void> = Promise.resolve();

  constructor(options: SupervisedProcessOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the service has said that it is up. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Starts the process. */
  start(): void {
    this.#done = this.#run();
  }

  /** From now on a death is answered by a restart. */
  ready(): void {
    this.#restarts = true;
  }

  /** From now on a death is final. Idempotent. */
  retire(): void {
    this.#stopping.abort(new AbortReasonError('shutdown'));
  }

  /** Sends a signal to the process. */
  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Stops the process with SIGTERM and waits for its end. Idempotent. */
  async close(): Promise<void> {
    this.retire();
    this.kill('SIGTERM');
    await this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping()) {
      const startedMs = performance.now();
      const ending = await this.#runOnce();
      if (this.#restarts && ending === ENDED_WELL) await this.#sleep(SIGNAL_SPREAD_MS);
      if (this.#isStopping()) return;
      // Whoever has the port now keeps it, and clients would be answered by them for ever.
      if (!this.#restarts || hasCode(this.#startError, 'config.port_in_use')) {
        const { code = 'backend.unavailable', message = ending } = this.#startError ?? {};
        this.#options.onFailure(new DynamoError(code, `${this.name} could not start: ${message}`));
        return;
      }
      if (performance.now() - startedMs > HEALTHY_AFTER_MS) this.#backoff.reset();
      const delayMs = this.#backoff.nextMs();
      this.#options.logger.warn('service ended; starting it again', {
        service: this.name,
        ending,
        delay_ms: delayMs,
      });
      await this.#sleep(delayMs);
    }
  }

  /** Ends early with a stop, which ends the loop. */
  async #sleep(delayMs: number): Promise<void> {
    await systemClock.sleep(delayMs, { signal: this.#stopping.signal }).catch(() => undefined);
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Runs the process to its end; tells how it ended, in words. */
  async #runOnce(): Promise<string> {
    const child = spawn(process.execPath, [...process.execArgv, ...this.#options.command], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...this.#options.env },
    });
    this.#child = child;
    this.#startError = undefined;
    child.on('message', (sent) => this.#hear(tryServiceMessage(sent)));
    child.channel?.unref();
    return new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code ?? 'unknown'}`));
    });
  }

  #hear(message: ServiceMessage | undefined): void {
    if (message?.kind === 'started') this.#started.resolve();
    if (message?.kind === 'start-failed') this.#startError = message.error;
  }
}
