import { describe, expect, it } from 'vitest';

import { TaskGroup } from './task-group.ts';

describe('TaskGroup', () => {
  it('aborts its tasks at close, waits for them, and takes no more', async () => {
    let ended = false;
    const group = new TaskGroup({ name: 'test', onError: () => undefined });
    group.start('waits', async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      ended = true;
    });
    expect(group.size).toBe(1);
    await group.close();
    expect([ended, group.size]).toEqual([true, 0]);
    expect(() => group.start('late', () => Promise.resolve())).toThrow(/closed/);
  });

  it('reports a task that fails on its own, not one that fails because of the close', async () => {
    const errors: string[] = [];
    const group = new TaskGroup({ name: 'test', onError: (_error, task) => errors.push(task) });
    group.start('broken', () => Promise.reject(new Error('broken')));
    await group.idle();
    group.start('aborted', async (signal) => {
      await new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(new Error('aborted'))),
      );
    });
    await group.close();
    expect(errors).toEqual(['broken']);
  });
});
