import { describe, expect, it } from 'vitest';

import { FakeClock } from './fake-clock.ts';
import { HoldGate } from './hold-gate.ts';

describe('FakeClock', () => {
  it('wakes sleepers in order, those that fall asleep on the way included', async () => {
    const clock = new FakeClock({ startMs: 1000 });
    const woken: string[] = [];
    const sleeper = async (): Promise<void> => {
      await clock.sleep(10);
      woken.push(`first at ${clock.now()}`);
      await clock.sleep(5);
      woken.push(`again at ${clock.now()}`);
    };
    const done = sleeper();
    void clock.sleep(100).then(() => woken.push('too late'));
    await clock.advance(50);
    await done;
    expect(woken).toEqual(['first at 1010', 'again at 1015']);
    expect(clock.monotonicMs()).toBe(50);
    expect(clock.sleeping).toBe(1);
  });

  it('gives up a sleep whose signal aborts', async () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const sleep = clock.sleep(10, { signal: controller.signal });
    controller.abort();
    await expect(sleep).rejects.toMatchObject({ code: 'request.cancelled' });
    expect(clock.sleeping).toBe(0);
  });
});

describe('HoldGate', () => {
  it('holds callers until they are released, in order, and lets all pass when open', async () => {
    const gate = new HoldGate();
    const passed: number[] = [];
    const callers = [1, 2, 3].map(async (caller) => {
      await gate.pass();
      passed.push(caller);
    });
    await gate.arrivals(3);
    expect(passed).toEqual([]);
    gate.release();
    await callers[0];
    expect(passed).toEqual([1]);
    gate.open();
    await Promise.all(callers);
    await gate.pass();
    expect([passed, gate.arrived, gate.waiting]).toEqual([[1, 2, 3], 4, 0]);
  });
});
