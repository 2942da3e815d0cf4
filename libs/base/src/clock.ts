import { abortError, onAbort, throwIfAborted } from './abort.ts';
import type { AbortOptions } from './abort.ts';

/** Time as the code sees it; injected, so that tests can hold it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds that only grow; for durations. */
  monotonicMs(): number;
  /** Resolves after `delayMs`. @throws the signal's reason when aborted first */
  sleep(delayMs: number, options?: AbortOptions): Promise<void>;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep,
};

async function sleep(delayMs: number, options: AbortOptions = {}): Promise<void> {
  const { signal } = options;
  throwIfAborted(signal);
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      off();
      resolve();
    }, delayMs);
    const off = onAbort(signal, () => {
      clearTimeout(timer);
      if (signal !== undefined) reject(abortError(signal));
    });
  });
}
