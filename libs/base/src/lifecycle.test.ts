import { describe, expect, it } from 'vitest';

import { Lifecycle } from './lifecycle.ts';

const ignore = (): void => undefined;

describe('Lifecycle', () => {
  it('runs phases in their order and the steps of a phase newest first, once', async () => {
    const order: string[] = [];
    const lifecycle = new Lifecycle({ onError: ignore });
    lifecycle.onShutdown('telemetry', 'flush', () => void order.push('flush'));
    lifecycle.onShutdown('transports', 'first', () => void order.push('first'));
    lifecycle.onShutdown('transports', 'second', () => void order.push('second'));
    lifecycle.onShutdown('deregister', 'records', () => void order.push('records'));
    await Promise.all([lifecycle.close(), lifecycle.close()]);
    expect(order).toEqual(['records', 'second', 'first', 'flush']);
    expect(lifecycle.closing).toBe(true);
  });

  it('keeps accepting for the grace period between deregistration and drain', async () => {
    const order: string[] = [];
    const lifecycle = new Lifecycle({
      gracePeriodMs: 5000,
      onError: ignore,
      clock: {
        now: () => 0,
        monotonicMs: () => 0,
        sleep: (delayMs) => {
          order.push(`grace ${delayMs}`);
          return Promise.resolve();
        },
      },
    });
    lifecycle.onShutdown('deregister', 'records', () => void order.push('deregister'));
    lifecycle.onShutdown('drain', 'requests', () => void order.push('drain'));
    await lifecycle.close();
    expect(order).toEqual(['deregister', 'grace 5000', 'drain']);
  });

  it('reports a failing step and goes on; a drain over its deadline sees its signal', async () => {
    const failures: string[] = [];
    let drained = false;
    const lifecycle = new Lifecycle({
      drainTimeoutMs: 1,
      onError: (_error, phase, step) => failures.push(`${phase}/${step}`),
    });
    lifecycle.onShutdown('drain', 'stuck', async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new Error('gave up');
    });
    lifecycle.onShutdown('transports', 'sockets', () => {
      drained = true;
    });
    await lifecycle.close();
    expect(failures).toEqual(['drain/stuck']);
    expect(drained).toBe(true);
  });
});
