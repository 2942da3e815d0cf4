/**
 * Abort signals with a reason that every layer understands.
 *
 * A client that left, a deadline, a shutdown and a superseding request are one mechanism: an `AbortSignal` whose
 * reason is an {@link AbortReasonError}. Anything that waits takes `{ signal }`.
 */
import { DynamoError } from './dynamo-error.ts';

/** Why work is given up. */
export type AbortReason = 'client-gone' | 'deadline' | 'shutdown' | 'superseded';

/** Options of everything that waits. */
export interface AbortOptions {
  /** Gives up waiting when aborted. */
  readonly signal?: AbortSignal | undefined;
}

/** Whether a string (for example from the wire) is an {@link AbortReason}. */
export function isAbortReason(value: string): value is AbortReason {
  return Object.hasOwn(CODE_OF, value);
}

const CODE_OF = {
  'client-gone': 'request.cancelled',
  deadline: 'request.deadline_exceeded',
  shutdown: 'runtime.closed',
  superseded: 'request.cancelled',
} as const;

/** The reason carried by our abort signals: a {@link DynamoError} that remembers which {@link AbortReason} it is. */
export class AbortReasonError extends DynamoError {
  readonly reason: AbortReason;

  constructor(reason: AbortReason, message = `aborted: ${reason}`) {
    super(CODE_OF[reason], message);
    this.reason = reason;
  }
}

/** The {@link AbortReason} of an aborted signal; foreign reasons count as `client-gone`, timeouts as `deadline`. */
export function abortReasonOf(signal: AbortSignal): AbortReason {
  const reason: unknown = signal.reason;
  if (reason instanceof AbortReasonError) return reason.reason;
  return reason instanceof DOMException && reason.name === 'TimeoutError'
    ? 'deadline'
    : 'client-gone';
}

/** The error to throw for an aborted signal. */
export function abortError(signal: AbortSignal): DynamoError {
  const reason: unknown = signal.reason;
  return reason instanceof DynamoError ? reason : new AbortReasonError(abortReasonOf(signal));
}

/** Refuses to go on with aborted work. @throws `request.cancelled`, `request.deadline_exceeded` or `runtime.closed` when the signal is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal);
}

/**
 * Runs `listener` once when the signal aborts, at once when it already is.
 *
 * @returns an idempotent function that stops listening
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  signal.addEventListener('abort', listener, { once: true });
  return () => {
    signal.removeEventListener('abort', listener);
  };
}

/** Waits for the promise, or throws the signal's reason; the promise itself goes on. */
export async function raceAbort<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return promise;
  if (signal.aborted) {
    // Nobody looks at it any more, also not at its failure.
    promise.catch(() => undefined);
    throw abortError(signal);
  }
  let off: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    off = onAbort(signal, () => {
      reject(abortError(signal));
    });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    off();
  }
}

/** A signal that aborts with `deadline` after `timeoutMs`, or with its parent's reason when that aborts first. */
export function deadlineSignal(timeoutMs: number, parent?: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(new AbortReasonError('deadline', `no result within ${timeoutMs} ms`));
  }, timeoutMs);
  timer.unref();
  const off = onAbort(parent, () => {
    controller.abort(parent?.reason);
  });
  controller.signal.addEventListener(
    'abort',
    () => {
      clearTimeout(timer);
      off();
    },
    { once: true },
  );
  return controller.signal;
}
