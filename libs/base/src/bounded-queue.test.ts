import { describe, expect, it } from 'vitest';

import { BoundedQueue } from './bounded-queue.ts';

describe('BoundedQueue', () => {
  it('keeps order and ends after what was queued at close', async () => {
    const queue = new BoundedQueue<number>({ capacity: 200 });
    for (let item = 0; item < 150; item += 1) queue.tryPush(item);
    queue.close();
    const read: number[] = [];
    for await (const item of queue) read.push(item);
    expect(read).toEqual(Array.from({ length: 150 }, (_, index) => index));
    expect(queue.tryPush(1)).toBe(false);
  });

  it('rejects, drops the oldest, or waits when full', async () => {
    const rejecting = new BoundedQueue<number>({ capacity: 1 });
    await rejecting.push(1);
    await expect(rejecting.push(2)).rejects.toMatchObject({ code: 'capacity.queue_full' });

    let drops = 0;
    const dropping = new BoundedQueue<number>({
      capacity: 2,
      overflow: 'drop-oldest',
      onDrop: () => (drops += 1),
    });
    for (const item of [1, 2, 3]) dropping.tryPush(item);
    expect([dropping.tryShift(), dropping.tryShift(), drops]).toEqual([2, 3, 1]);

    const waiting = new BoundedQueue<number>({ capacity: 1, overflow: 'wait' });
    await waiting.push(1);
    const second = waiting.push(2);
    expect(waiting.size).toBe(1);
    expect(await waiting.shift()).toBe(1);
    await second;
    expect(await waiting.shift()).toBe(2);
  });

  it('gives up waiting when its signal aborts and keeps working for the next reader', async () => {
    const queue = new BoundedQueue<number>({ capacity: 1 });
    const controller = new AbortController();
    const waiting = queue.shift({ signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'request.cancelled' });
    queue.tryPush(7);
    expect(await queue.shift()).toBe(7);
  });
});
