/**
 * One engine process that the shim has started, with everything it starts in turn.
 *
 * Guarantees: its lines go to the log; `exited` tells when and how it ended; after `close()`, after its own end and after
 * any death of the shim no process of its group is left.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

import { DynamoError, deadlineSignal, raceAbort } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import type { EngineCommand } from './engine-command.ts';
import { PARENT_GUARD } from './parent-guard.ts';

/** Settings of an {@link EngineProcess}. */
export interface EngineProcessOptions {
  readonly command: EngineCommand;
  /** Added after the command's own arguments. */
  readonly args: readonly string[];
  /** Receives the engine's lines; its target names the engine. */
  readonly logger: Logger;
  /** How long the engine may take to stop by itself. @default 10000 */
  readonly stopTimeoutMs?: number;
}

/** How an engine process ended. */
export interface EngineExit {
  /** Exit status; 128 + n when signal n ended it. */
  readonly status: number;
  /** What it said last, for the error message. */
  readonly lastLines: readonly string[];
}

const LAST_LINES = 5;
const MAX_LINE_LENGTH = 8192;

/** A started engine. */
export class EngineProcess implements AsyncDisposable {
  /** Resolves when the engine has ended. */
  readonly exited: Promise<EngineExit>;
  readonly #child: ChildProcess;
  readonly #stopTimeoutMs: number;
  readonly #lastLines: string[] = [];
  #ended = false;

  private constructor(child: ChildProcess, options: EngineProcessOptions) {
    this.#child = child;
    this.#stopTimeoutMs = options.stopTimeoutMs ?? 10_000;
    this.#relay(child.stdout, options.logger);
    this.#relay(child.stderr, options.logger);
    this.exited = new Promise((resolve) => {
      child.once('exit', (code) => {
        this.#ended = true;
        this.#signalGroup('SIGKILL');
        resolve({ status: code ?? 137, lastLines: this.#lastLines });
      });
    });
  }

  /** Starts the engine; resolves when its process exists. @throws `config.invalid` when it cannot be started */
  static async spawn(options: EngineProcessOptions): Promise<EngineProcess> {
    const { program, args } = options.command;
    const child = spawn(
      '/bin/sh',
      ['-c', PARENT_GUARD, 'engine', program, ...args, ...options.args],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
      },
    );
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => {
        reject(new DynamoError('config.invalid', `cannot start ${program}`, { cause }));
      });
    });
    child.stdin.on('error', () => undefined); // the guard may end first
    return new EngineProcess(child, options);
  }

  /** Leader of the engine's process group. */
  get groupId(): number | undefined {
    return this.#child.pid;
  }

  /** Asks the engine to stop, then ends its whole group. Idempotent. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#signalGroup('SIGTERM');
    try {
      await raceAbort(this.exited, deadlineSignal(this.#stopTimeoutMs));
    } catch {
      this.#signalGroup('SIGKILL');
      await this.exited;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #signalGroup(signal: 'SIGTERM' | 'SIGKILL'): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch {
      // the group is gone
    }
  }

  #relay(stream: Readable | null, logger: Logger): void {
    if (stream === null) return;
    createInterface({ input: stream }).on('line', (line) => {
      const text = line.slice(0, MAX_LINE_LENGTH);
      if (text.trim() === '') return;
      logger[levelOf(text)](text);
      this.#lastLines.push(text);
      if (this.#lastLines.length > LAST_LINES) this.#lastLines.shift();
    });
  }
}

/** The level that llama.cpp (`0.46 W srv …`) and most others (`WARNING …`, `[ERROR] …`) write into a line. */
function levelOf(line: string): 'info' | 'warn' | 'error' {
  if (/^\S+ E |\b(?:ERROR|CRITICAL|FATAL)\b/.test(line)) return 'error';
  return /^\S+ W |\bWARN(?:ING)?\b/.test(line) ? 'warn' : 'info';
}
