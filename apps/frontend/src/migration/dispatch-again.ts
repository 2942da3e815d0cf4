/**
 * Asks for a worker again for a request that workers have failed. Those that broke it are left out while there are
 * others; the only worker is asked again rather than the request failed. While there is none the request waits, because
 * those that died may be starting again. A request that breaks whoever takes it is given up soon; that nobody can be
 * reached is not its doing.
 */
import { Backoff, DynamoError } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import type { DispatchRequest, DispatchedStream } from '@dynamo-ts/routing';

import type { Dispatches } from '../models/served-model.ts';

/** How often workers may break a request before its first token once it is asked for again. */
const MOST_BREAKS = 3;

/** What {@link dispatchAgain} needs. */
export interface DispatchAgainOptions {
  readonly dispatcher: Pick<Dispatches, 'dispatch'>;
  readonly request: Omit<DispatchRequest, 'excluded'>;
  /** Workers that must not take it whatever happens, as they are now. */
  readonly excluded: () => readonly InstanceId[];
  /** Workers that broke it. */
  readonly broke: ReadonlySet<InstanceId>;
  /** What broke it. */
  readonly cause: DynamoError;
  /** Longest time to wait for a worker. */
  readonly waitMs: number;
  /** Whether the others have been asked just now, so that it is no use at once. */
  readonly isTried: boolean;
  readonly clock: Clock;
}

/** Resolves when a worker has begun to answer. @throws what stands against it, `cause` when there was nobody in time */
export async function dispatchAgain(options: DispatchAgainOptions): Promise<DispatchedStream> {
  const { broke, cause, clock, dispatcher, excluded, request, waitMs } = options;
  const deadlineMs = clock.monotonicMs() + waitMs;
  const backoff = new Backoff({ initialMs: 20, maxMs: 500 });
  let spared: Iterable<InstanceId> = broke;
  let breaks = 0;
  let last = options.isTried ? cause : undefined;
  for (;;) {
    if (last !== undefined) {
      const leftMs = deadlineMs - clock.monotonicMs();
      // The client learns what broke its answer and not that nobody was there to mend it.
      if (leftMs <= 0) throw isNobody(last) ? cause : last;
      await clock.sleep(Math.min(backoff.nextMs(), leftMs), { signal: request.context.stopped });
    }
    try {
      return await dispatcher.dispatch({ ...request, excluded: [...excluded(), ...spared] });
    } catch (error) {
      if (!isRetryable(error) || request.context.isStopped()) throw error;
      if (error.code === 'backend.unavailable') spared = [];
      if (isBreak(error)) breaks += 1;
      if (breaks >= MOST_BREAKS) throw error;
      last = error;
    }
  }
}

/** Whether another worker, or the same one later, may do better. */
export function isRetryable(error: unknown): error is DynamoError {
  return error instanceof DynamoError && error.retryable;
}

/** Whether a worker has failed the request, which is more than to have no room for it. */
export function isFailure({ code, info }: DynamoError): boolean {
  // A worker that serves the others is not left alone, but has failed this one.
  return info.inhibits || code === 'backend.request_stuck';
}

/** Whether the request may have broken the worker: it had reached it. */
function isBreak(error: DynamoError): boolean {
  return isFailure(error) && error.code !== 'transport.cannot_connect';
}

/** Whether the request has reached no worker. */
function isNobody({ code }: DynamoError): boolean {
  return code === 'backend.unavailable' || code === 'transport.cannot_connect';
}
