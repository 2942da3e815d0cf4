import { describe, expect, it, vi } from 'vitest';

import { LoadReader } from './load-reader.ts';
import { LoadTracker } from './load-tracker.ts';
import type { ObservedLoad } from './load-tracker.ts';

function setUp(answer: readonly ObservedLoad[] | undefined) {
  let nowMs = 0;
  const load = new LoadTracker({
    blockSize: 10,
    totalKvBlocks: 100,
    maxSeqs: 0,
    dataParallelSize: 1,
    host: { loadChanged: () => undefined },
  });
  const read = vi.fn(() => Promise.resolve(answer));
  const clock = { now: () => nowMs, monotonicMs: () => nowMs, sleep: () => Promise.resolve() };
  const reader = new LoadReader({ read, load: () => load, clock });
  const pass = (ms: number): void => void (nowMs += ms);
  return { load, read, reader, pass };
}

describe('LoadReader', () => {
  it('asks a busy engine when its load changes, at most once a second', async () => {
    const { load, pass, read, reader } = setUp([{ dpRank: 0, waitingRequests: 0, usedBlocks: 7 }]);
    reader.changed();
    expect(read).not.toHaveBeenCalled();
    load.begin(10);
    reader.changed();
    reader.changed();
    await vi.waitFor(() => {
      expect(load.snapshot()[0]?.activeDecodeBlocks).toBe(7);
    });
    pass(999);
    reader.changed();
    expect(read).toHaveBeenCalledTimes(1);
    pass(1);
    reader.changed();
    expect(read).toHaveBeenCalledTimes(2);
    await reader.close();
  });

  it('asks an engine that does not tell once', async () => {
    const { load, pass, read, reader } = setUp(undefined);
    load.begin(10);
    reader.changed();
    await vi.waitFor(() => {
      expect(read).toHaveResolvedTimes(1);
    });
    await Promise.resolve();
    pass(5000);
    reader.changed();
    expect(read).toHaveBeenCalledTimes(1);
    await reader.close();
  });

  it('asks again after a failure, and never after it is closed', async () => {
    const { load, pass, read, reader } = setUp([]);
    read.mockRejectedValueOnce(new Error('away'));
    load.begin(10);
    reader.changed();
    await vi.waitFor(() => {
      expect(read).toHaveBeenCalledTimes(1);
    });
    await Promise.resolve();
    pass(1000);
    await vi.waitFor(() => {
      reader.changed();
      expect(read).toHaveBeenCalledTimes(2);
    });
    await reader.close();
    pass(1000);
    reader.changed();
    expect(read).toHaveBeenCalledTimes(2);
  });
});
