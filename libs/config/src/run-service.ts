/**
 * What every service's `main.ts` does: configuration, `--help`, `health`, start, signals, exit codes.
 *
 * The first SIGTERM or SIGINT closes the service and exits with 0; a second one, as from a second Ctrl-C, ends the process
 * at once. A service started by a launcher over an IPC channel stops when the launcher is gone, however it ended. What a
 * user can mend (`config.*`) is one line and exit code 1.
 */
import { get } from 'node:http';

import { DynamoError, isSystemError, systemErrorText } from '@dynamo-ts/base';

import { misspeltLines } from './environment-check.ts';
import type { Environment } from './environment.ts';
import { tellLauncher } from './launcher-channel.ts';
import { loadConfig } from './load-config.ts';
import type { ConfigOf, Options } from './option.ts';

/** A service that can be started and closed once. */
export interface RunnableService {
  start(): Promise<void>;
  close(): Promise<void>;
}

/** A service's command line. */
export interface ServiceMain<O extends Options> {
  /** How it is started, for example `dynamo frontend`. */
  readonly command: string;
  /** One sentence for the help text. */
  readonly summary: string;
  readonly options: O;
  /** Arguments after the script. */
  readonly argv: readonly string[];
  readonly env: Environment;
  /** Where the service answers when it is healthy; asked when the first argument is `health`. */
  readonly health: (config: ConfigOf<O>) => { readonly port: number; readonly path: string };
  /** Makes the service; `origins` says where each value was written. */
  readonly create: (
    config: ConfigOf<O>,
    origins: Readonly<Record<keyof O, string>>,
  ) => RunnableService | Promise<RunnableService>;
  /** Longest stop in milliseconds; a longer one ends with exit code 70 (EX_SOFTWARE). @default no limit */
  readonly stopTimeoutMs?: (config: ConfigOf<O>) => number;
}

/** Signals within this time are one Ctrl-C: a terminal and npm both deliver it. */
const SAME_INTERRUPT_MS = 500;
/** How long a service may take to stop after its launcher is gone. */
const ORPHAN_STOP_MS = 3000;
const HEALTH_TIMEOUT_MS = 2000;
const INTERRUPTED_EXIT_CODE = 130;
const OVERRUN_EXIT_CODE = 70;

/** Runs a service until a signal ends it; sets the exit code of the process. */
export async function runService<O extends Options>(main: ServiceMain<O>): Promise<void> {
  try {
    const asksHealth = main.argv[0] === 'health';
    const argv = asksHealth ? main.argv.slice(1) : main.argv;
    const { config, origins, help } = loadConfig(main.options, { ...main, argv });
    if (help !== undefined) process.stdout.write(help);
    else if (asksHealth) process.exitCode = (await probeHealth(main.health(config))) ? 0 : 1;
    else {
      for (const line of misspeltLines(main.env, main.options))
        process.stderr.write(`${main.command}: ${line}\n`);
      await serve(await main.create(config, origins), main.stopTimeoutMs?.(config));
    }
  } catch (error) {
    if (error instanceof DynamoError) tellLauncher({ kind: 'start-failed', error });
    failStart(error, main.command);
  }
}

/** Whether `GET http://127.0.0.1:{port}{path}` answers 200 within two seconds. */
export async function probeHealth(target: {
  readonly port: number;
  readonly path: string;
}): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      { host: '127.0.0.1', ...target, timeout: HEALTH_TIMEOUT_MS },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

/** Tells why a process cannot start, one line for what a user can mend, and ends it with code 1. */
export function failStart(error: unknown, command: string): never {
  process.stderr.write(`${command}: ${startFailureText(error)}\n`);
  process.exit(1);
}

function startFailureText(error: unknown): string {
  if (error instanceof DynamoError && error.code !== 'runtime.internal') return error.message;
  if (isSystemError(error)) return systemErrorText(error);
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

async function serve(service: RunnableService, stopTimeoutMs: number | undefined): Promise<void> {
  const stopped = stopOnRequest(async () => {
    if (stopTimeoutMs !== undefined)
      setTimeout(() => process.exit(OVERRUN_EXIT_CODE), stopTimeoutMs).unref();
    await service.close();
  });
  try {
    await service.start();
    tellLauncher({ kind: 'started' });
  } catch (error) {
    // A start that is interrupted fails in its own way; closing goes on and ends the process.
    if (!stopped.requested()) throw error;
  }
  await stopped.exit;
}

interface StopOnRequest {
  /** Whether the process has been asked to stop. */
  requested(): boolean;
  /** Resolves never: when asked to stop, the process exits after `close`. */
  readonly exit: Promise<never>;
}

function stopOnRequest(close: () => Promise<void>): StopOnRequest {
  let stoppingSinceMs: number | undefined;
  const exit = new Promise<never>(() => {
    const stop = (): void => {
      if (stoppingSinceMs !== undefined) {
        if (performance.now() - stoppingSinceMs > SAME_INTERRUPT_MS)
          process.exit(INTERRUPTED_EXIT_CODE);
        return;
      }
      stoppingSinceMs = performance.now();
      void close().then(
        () => process.exit(0),
        (error: unknown) => failStart(error, 'stop'),
      );
    };
    process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop);
    if (process.channel === undefined) return;
    process.once('disconnect', () => {
      setTimeout(() => process.exit(INTERRUPTED_EXIT_CODE), ORPHAN_STOP_MS).unref();
      stop();
    });
    process.channel.unref();
  });
  return { requested: () => stoppingSinceMs !== undefined, exit };
}
