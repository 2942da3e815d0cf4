import { AbortReasonError } from '@dynamo-ts/base';
import { describe, expect, it } from 'vitest';

import { Context } from './context.ts';

describe('Context', () => {
  it('stop asks to finish, kill implies stop', () => {
    const stopped = new Context();
    stopped.stopGenerating();
    expect([stopped.isStopped(), stopped.isKilled()]).toEqual([true, false]);
    const killed = new Context();
    killed.kill();
    expect([killed.isStopped(), killed.isKilled()]).toEqual([true, true]);
  });

  it('a kill may follow a stop; a stop after a kill lowers nothing', () => {
    const context = new Context();
    context.stopGenerating('deadline');
    context.kill('client-gone');
    context.stopGenerating('superseded');
    expect(context.isKilled()).toBe(true);
    expect(context.stopped.reason).toMatchObject({ reason: 'deadline' });
    expect(context.killed.reason).toMatchObject({ reason: 'client-gone' });
  });

  it('tells its children first, in the order in which they were linked, however deep', () => {
    const parent = new Context();
    const order: string[] = [];
    const follow = (name: string, context: Context): Context => {
      context.stopped.addEventListener('abort', () => order.push(name));
      return context;
    };
    const first = follow('first', parent.child());
    follow('grandchild', first.child());
    follow('second', parent.child());
    follow('parent', parent);
    parent.kill('deadline');
    expect(order).toEqual(['grandchild', 'first', 'second', 'parent']);
    expect(first.killed.reason).toBeInstanceOf(AbortReasonError);
    expect(first.killed.reason).toMatchObject({ reason: 'deadline' });
  });

  it('a child linked late takes state, reason and time; one that was unlinked takes nothing', () => {
    const killed = new Context();
    const released = killed.child();
    killed.unlinkChild(released);
    killed.kill('shutdown', 1000);
    expect(released.isStopped()).toBe(false);
    const late = killed.child();
    expect(late.killed.reason).toMatchObject({ reason: 'shutdown' });
    expect(late.stoppedUnixMs).toBe(1000);

    const stopped = new Context();
    stopped.stopGenerating('deadline', 2000);
    const lateStopped = stopped.child();
    expect([lateStopped.isStopped(), lateStopped.isKilled()]).toEqual([true, false]);
    expect(lateStopped.stoppedUnixMs).toBe(2000);
  });

  it('knows when it was first given up', () => {
    const context = new Context();
    expect(context.stoppedUnixMs).toBeUndefined();
    context.stopGenerating('client-gone', 1000);
    context.kill('client-gone', 5000);
    expect(context.stoppedUnixMs).toBe(1000);
    const now = new Context();
    const beforeMs = Date.now();
    now.kill();
    expect(now.stoppedUnixMs).toBeGreaterThanOrEqual(beforeMs);
  });
});
