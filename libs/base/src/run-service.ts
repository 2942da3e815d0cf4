/**
 * The process around a service: starts it, stops it gracefully on the first SIGTERM or SIGINT, and leaves at once on the
 * second. A stop that takes too long ends with status 70 (EX_SOFTWARE), so that nobody takes it for a clean one.
 */
import process from 'node:process';

/** Anything that can be started and closed. */
export interface Service {
  start(): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Settings of {@link runService}. */
export interface RunServiceOptions {
  /** Longest time from the first signal to the end of the process. */
  readonly shutdownTimeoutMs: number;
  /** Told about a start or a stop that failed. */
  readonly onError: (error: unknown, what: 'start' | 'stop') => void;
}

const EXIT_FAILURE = 1;
const EXIT_OVERRUN = 70;
const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;

/** Runs a service until a signal stops it; resolves with the status that the process should end with. */
export async function runService(service: Service, options: RunServiceOptions): Promise<number> {
  const stopped = Promise.withResolvers<number>();
  let stopping = false;
  const stop = (status: number): void => {
    stopping = true;
    setTimeout(() => process.exit(EXIT_OVERRUN), options.shutdownTimeoutMs).unref();
    service.close().then(
      () => {
        stopped.resolve(status);
      },
      (error: unknown) => {
        options.onError(error, 'stop');
        stopped.resolve(EXIT_FAILURE);
      },
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(128 + SIGNAL_NUMBERS[signal]);
      stop(0);
    });
  }
  service.start().catch((error: unknown) => {
    if (stopping) return;
    options.onError(error, 'start');
    stop(EXIT_FAILURE);
  });
  return stopped.promise;
}
