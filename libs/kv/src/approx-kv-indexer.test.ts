import { asInstanceId } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import { expect, describe, it } from 'vitest';

import { ApproxKvIndexer } from './approx-kv-indexer.ts';

const worker = asInstanceId(7n);
const prompt = Uint32Array.from({ length: 64 }, (_, index) => index);

/** A clock that the test sets. */
function handClock(): { clock: Clock; set: (nowMs: number) => void } {
  let nowMs = 0;
  const clock: Clock = {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: () => Promise.resolve(),
  };
  return { clock, set: (value) => void (nowMs = value) };
}

describe('ApproxKvIndexer', () => {
  it('takes a prompt to be where it was sent until its time is over', async () => {
    const { clock, set } = handClock();
    await using indexer = new ApproxKvIndexer({ blockSize: 16, ttlMs: 1000, clock });
    indexer.processRoutingDecisionForRequest(prompt, worker, { dpRank: 1 });
    set(999);
    expect(indexer.findMatchesForRequest(prompt).of(worker, 1)).toBe(4);
    expect(indexer.findMatchesForRequest(prompt.subarray(0, 40)).of(worker, 1)).toBe(2);
    set(1001);
    expect(indexer.findMatchesForRequest(prompt).ranks).toEqual([]);
  });

  it('forgets a worker', async () => {
    await using indexer = new ApproxKvIndexer({ blockSize: 16 });
    indexer.processRoutingDecisionForRequest(prompt, worker);
    indexer.removeWorker(worker);
    expect(indexer.findMatchesForRequest(prompt).ranks).toEqual([]);
  });

  it('drops what was sent longest ago when there is too much', async () => {
    await using indexer = new ApproxKvIndexer({
      blockSize: 16,
      maxTreeSize: 8,
      pruneTargetRatio: 0.5,
    });
    const promptOf = (seed: number): Uint32Array => prompt.map((id) => id + seed * 1000);
    for (let seed = 0; seed < 3; seed++)
      indexer.processRoutingDecisionForRequest(promptOf(seed), worker);
    expect(indexer.findMatchesForRequest(promptOf(0)).ranks).toEqual([]);
    expect(indexer.findMatchesForRequest(promptOf(2)).of(worker)).toBe(4);
  });
});
