import { setTimeout as delay } from 'node:timers/promises';

/** When {@link eventually} gives up. */
export interface EventuallyOptions {
  readonly signal?: AbortSignal;
  /** A generous upper bound, never a measurement. @default 10000 */
  readonly timeoutMs?: number;
  /** What was waited for, for the error message. */
  readonly what?: string;
}

const POLL_INTERVAL_MS = 10;

/**
 * Waits until the predicate gives a truthy value and returns it. A predicate that throws counts as false; its last
 * error is the cause of the failure.
 *
 * @throws Error when it is still false at the timeout or when the signal aborts
 */
export async function eventually<T>(
  predicate: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<NonNullable<T>> {
  const deadlineMs = performance.now() + (options.timeoutMs ?? 10_000);
  let lastError: unknown;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      const value = await predicate();
      if (value) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadlineMs) {
      throw new Error(`${options.what ?? predicate.toString()} did not become true in time`, {
        cause: lastError,
      });
    }
    await delay(POLL_INTERVAL_MS);
  }
}
