/**
 * Runs a program on the bare runtime: makes planes and runtime, hands them over, and stops in order when SIGTERM or SIGINT
 * asks for it (RF 1.12, 1.16).
 */
import { AbortReasonError, onAbort } from '@dynamo-ts/base';
import { createLogger } from '@dynamo-ts/telemetry';
import type { Logger, Tracer } from '@dynamo-ts/telemetry';

import { createPlanes } from './create-planes.ts';
import type { PlaneSettings } from './create-planes.ts';
import { DistributedRuntime } from './distributed-runtime.ts';

/** Settings of {@link dynamoWorker}; a configuration made of `COMMON_OPTIONS` fits. */
export interface DynamoWorkerOptions extends Omit<PlaneSettings, 'logger'> {
  /** @default a logger to stderr */
  readonly logger?: Logger;
  readonly tracer?: Tracer | undefined;
  /** Primary namespace. @default 'dynamo' */
  readonly namespace?: string | undefined;
  /** How long endpoints go on accepting after they left discovery. @default 5000 */
  readonly gracePeriodMs?: number | undefined;
  /** How long requests may take to finish after that. @default 20000 */
  readonly drainTimeoutMs?: number | undefined;
  /** One deadline for the whole stop; a later end is forced with exit code 70. @default 30000 */
  readonly stopTimeoutMs?: number | undefined;
}

/** A program on the runtime. The signal is aborted when the process is asked to stop. */
export type DynamoWorker = (runtime: DistributedRuntime, signal: AbortSignal) => Promise<void>;

/** Exit code of a stop that took too long (EX_SOFTWARE). */
const OVERRUN_EXIT_CODE = 70;

/** Exit code of a second signal. */
const INTERRUPTED_EXIT_CODE = 130;

/**
 * Runs `worker`. When it returns while endpoints are served, they are served until a signal comes; else the program ends.
 *
 * @throws what `worker` throws, except for the abort of its signal
 */
export async function dynamoWorker(
  worker: DynamoWorker,
  options: DynamoWorkerOptions = {},
): Promise<void> {
  const logger = options.logger ?? createLogger({ service: 'worker' });
  await using planes = await createPlanes({ ...options, logger });
  using stop = stopOnSignals(options.stopTimeoutMs ?? 30_000);
  const { signal } = stop;
  const runtime = await DistributedRuntime.connect({ ...options, ...planes, logger, signal });
  try {
    await worker(runtime, signal);
    if (runtime.served().length > 0) await aborted(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    const serves = runtime.served().length > 0;
    await runtime.shutdown({
      gracePeriodMs: serves && signal.aborted ? (options.gracePeriodMs ?? 5000) : 0,
      drainTimeoutMs: options.drainTimeoutMs ?? 20_000,
    });
  }
}

function stopOnSignals(stopTimeoutMs: number): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  let watchdog: NodeJS.Timeout | undefined;
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED_EXIT_CODE);
    watchdog = setTimeout(() => process.exit(OVERRUN_EXIT_CODE), stopTimeoutMs).unref();
    controller.abort(new AbortReasonError('shutdown'));
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      clearTimeout(watchdog);
      process.off('SIGINT', stop).off('SIGTERM', stop);
    },
  };
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    onAbort(signal, resolve);
  });
}
