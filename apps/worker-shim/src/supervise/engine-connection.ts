/**
 * The way to an HTTP engine: a process that the shim starts on a port of its own, or a server that runs elsewhere.
 *
 * `open` waits until the engine answers, telling the log how long it has been waiting. Afterwards its health is watched,
 * and the first listener is told once when it has died: at once when its process ends, after a few failed questions
 * otherwise.
 */
import { DynamoError, TaskGroup, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions, Clock } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import { EngineHttp } from '../http/engine-http.ts';
import type { EngineCommand } from './engine-command.ts';
import { EngineProcess } from './engine-process.ts';
import type { EngineExit } from './engine-process.ts';
import { freePort } from './free-port.ts';

/** Where the engine comes from. */
export type EngineSource =
  | { readonly kind: 'attach'; readonly url: string }
  | {
      readonly kind: 'start';
      readonly command: EngineCommand;
      /** The engine's arguments, given the port that it must listen on. */
      readonly args: (port: number) => readonly string[];
    };

/** Settings of {@link EngineConnection.open}. */
export interface EngineConnectionOptions extends AbortOptions {
  readonly source: EngineSource;
  readonly apiKey?: string | undefined;
  /** Answers 200 when the engine is ready. */
  readonly healthPath: string;
  /** Longest start before it counts as failed. */
  readonly startupTimeoutMs: number;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Told once when the engine has died after it answered. */
  readonly onDeath: (error: DynamoError) => void;
}

const FIRST_POLL_MS = 50;
const SLOWEST_POLL_MS = 1000;
const PROGRESS_INTERVAL_MS = 5000;
const HEALTH_INTERVAL_MS = 2000;
const SUSPICION_INTERVAL_MS = 250;
const FAILURES_UNTIL_DEAD = 3;

/** An engine that answers. */
export class EngineConnection implements AsyncDisposable {
  readonly http: EngineHttp;
  readonly #options: EngineConnectionOptions;
  readonly #process: EngineProcess | undefined;
  readonly #tasks: TaskGroup;
  #wake: AbortController | undefined;
  #exit: EngineExit | undefined;

  private constructor(
    options: EngineConnectionOptions,
    http: EngineHttp,
    process: EngineProcess | undefined,
  ) {
    this.#options = options;
    this.http = http;
    this.#process = process;
    this.#tasks = new TaskGroup({
      name: 'engine connection',
      onError: (error, task) => {
        options.logger.error('engine watch failed', { error, task });
      },
    });
    void process?.exited.then((exit) => {
      this.#exit = exit;
      this.#wake?.abort();
    });
  }

  /**
   * Starts or finds the engine and waits until it answers.
   *
   * @throws `backend.engine_shutdown` when it ends or does not answer in time; `config.invalid` when it cannot be started
   */
  static async open(options: EngineConnectionOptions): Promise<EngineConnection> {
    const { source, logger, apiKey } = options;
    throwIfAborted(options.signal);
    const port = source.kind === 'start' ? await freePort() : 0;
    const process =
      source.kind === 'start'
        ? await EngineProcess.spawn({
            command: source.command,
            args: source.args(port),
            logger: logger.child({ target: 'engine' }),
          })
        : undefined;
    const baseUrl = source.kind === 'start' ? `http://127.0.0.1:${port}` : source.url;
    const http = new EngineHttp({ baseUrl, ...(apiKey === undefined ? {} : { apiKey }) });
    const connection = new EngineConnection(options, http, process);
    try {
      await connection.#waitUntilReady();
    } catch (error) {
      await connection.close();
      throw error;
    }
    connection.#tasks.start('health', (signal) => connection.#watch(signal));
    return connection;
  }

  /** Looks at the engine's health now, because a request could not reach it. */
  checkNow(): void {
    this.#wake?.abort();
  }

  /** Stops watching, and the engine when it was started here. Idempotent. */
  async close(): Promise<void> {
    await this.#tasks.close();
    await this.http.close();
    await this.#process?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #waitUntilReady(): Promise<void> {
    const { clock, logger, signal, startupTimeoutMs } = this.#options;
    const startedMs = clock.monotonicMs();
    let reportedMs = startedMs;
    let delayMs = FIRST_POLL_MS;
    for (;;) {
      const problem = await this.#tryHealth(signal);
      if (problem === undefined) return;
      throwIfAborted(signal);
      this.#throwIfExited('before it answered');
      const nowMs = clock.monotonicMs();
      if (nowMs - startedMs > startupTimeoutMs) {
        throw new DynamoError(
          'backend.engine_shutdown',
          `the engine at ${this.http.address} did not answer within ${startupTimeoutMs / 1000} s: ${problem.message}`,
        );
      }
      if (nowMs - reportedMs >= PROGRESS_INTERVAL_MS) {
        reportedMs = nowMs;
        const waited_s = Math.round((nowMs - startedMs) / 1000);
        const fields = { address: this.http.address, waited_s, problem: problem.message };
        // One that was started here is loading its model; another one may never come.
        if (this.#options.source.kind === 'start') logger.info('waiting for the engine', fields);
        else logger.warn('waiting for the engine', fields);
      }
      await this.#pause(delayMs, signal);
      delayMs = Math.min(delayMs * 1.5, SLOWEST_POLL_MS);
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    let failures = 0;
    for (;;) {
      await this.#pause(failures === 0 ? HEALTH_INTERVAL_MS : SUSPICION_INTERVAL_MS, signal);
      const problem =
        this.#exit === undefined ? await this.#tryHealth(signal) : exitError(this.#exit);
      throwIfAborted(signal);
      failures = problem === undefined ? 0 : failures + 1;
      if (problem !== undefined && (this.#exit !== undefined || failures >= FAILURES_UNTIL_DEAD)) {
        this.#options.onDeath(problem);
        return;
      }
    }
  }

  /** What is wrong with the engine; undefined when it is well. */
  async #tryHealth(signal: AbortSignal | undefined): Promise<DynamoError | undefined> {
    try {
      await this.http.getText(this.#options.healthPath, { signal });
      return undefined;
    } catch (error) {
      return error instanceof DynamoError
        ? error
        : new DynamoError('backend.error', 'the health check failed', { cause: error });
    }
  }

  #throwIfExited(when: string): void {
    if (this.#exit === undefined) return;
    const { status, lastLines } = this.#exit;
    throw new DynamoError(
      'backend.engine_shutdown',
      `the engine ended with status ${status} ${when}; it last said: ${lastLines.join(' | ') || 'nothing'}`,
    );
  }

  /** Sleeps until the time is over or somebody wants to know now. */
  async #pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#exit !== undefined) return;
    const wake = new AbortController();
    this.#wake = wake;
    const either = signal === undefined ? wake.signal : AbortSignal.any([wake.signal, signal]);
    try {
      await this.#options.clock.sleep(delayMs, { signal: either });
    } catch (error) {
      if (!wake.signal.aborted || signal?.aborted === true) throw error;
    }
  }
}

function exitError({ status }: EngineExit): DynamoError {
  return new DynamoError('backend.engine_shutdown', `the engine ended with status ${status}`);
}
