import { describe, expect, it, vi } from 'vitest';

import {
  AbortReasonError,
  abortReasonOf,
  deadlineSignal,
  onAbort,
  raceAbort,
  throwIfAborted,
} from './abort.ts';

describe('abort reasons', () => {
  it('survive in the signal and name the error code that a caller gets', () => {
    const controller = new AbortController();
    controller.abort(new AbortReasonError('shutdown'));
    expect(abortReasonOf(controller.signal)).toBe('shutdown');
    expect(() => throwIfAborted(controller.signal)).toThrow(
      expect.objectContaining({ code: 'runtime.closed' }),
    );
  });

  it('treat a foreign reason as a client that left and a platform timeout as a deadline', async () => {
    expect(abortReasonOf(AbortSignal.abort('whatever'))).toBe('client-gone');
    const timeout = AbortSignal.timeout(1);
    await vi.waitFor(() => expect(timeout.aborted).toBe(true));
    expect(abortReasonOf(timeout)).toBe('deadline');
  });
});

describe('onAbort', () => {
  it('runs once, at once for an aborted signal, and never after it was taken back', () => {
    const controller = new AbortController();
    const kept = vi.fn();
    const removed = vi.fn();
    onAbort(controller.signal, kept);
    onAbort(controller.signal, removed)();
    controller.abort();
    onAbort(controller.signal, kept);
    expect(kept).toHaveBeenCalledTimes(2);
    expect(removed).not.toHaveBeenCalled();
  });
});

describe('raceAbort', () => {
  it('gives the result, or the reason of the signal when that comes first', async () => {
    const controller = new AbortController();
    await expect(raceAbort(Promise.resolve(1), controller.signal)).resolves.toBe(1);
    const pending = raceAbort(new Promise(() => undefined), controller.signal);
    controller.abort(new AbortReasonError('superseded'));
    await expect(pending).rejects.toMatchObject({ reason: 'superseded' });
  });

  it('lets nothing float when the signal was aborted before', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    const failing = Promise.withResolvers<never>();
    await expect(raceAbort(failing.promise, AbortSignal.abort())).rejects.toMatchObject({
      code: 'request.cancelled',
    });
    failing.reject(new Error('late'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).not.toHaveBeenCalled();
    process.off('unhandledRejection', unhandled);
  });
});

describe('deadlineSignal', () => {
  it('aborts with a deadline, or earlier with the reason of its parent', async () => {
    const own = deadlineSignal(1);
    await vi.waitFor(() => expect(own.aborted).toBe(true));
    expect(abortReasonOf(own)).toBe('deadline');

    const parent = new AbortController();
    const child = deadlineSignal(60_000, parent.signal);
    parent.abort(new AbortReasonError('client-gone'));
    expect(abortReasonOf(child)).toBe('client-gone');
  });
});
