import { describe, expect, it, vi } from 'vitest';

import { LoadTracker } from './load-tracker.ts';
import { parseVllmLoad } from './openai/vllm-load.ts';

function tracker(ranks = 1) {
  const loadChanged = vi.fn();
  const load = new LoadTracker({
    blockSize: 10,
    totalKvBlocks: 100,
    maxSeqs: 0,
    dataParallelSize: ranks,
    dataParallelStartRank: 4,
    host: { loadChanged },
  });
  return { load, loadChanged };
}

describe('LoadTracker', () => {
  it('counts a request as prefill, then as decode, then not at all', () => {
    const { load, loadChanged } = tracker();
    const guard = load.begin(25);
    expect(load.snapshot()).toEqual([
      {
        dpRank: 4,
        activeRequests: 1,
        waitingRequests: 0,
        activeDecodeBlocks: 0,
        activePrefillTokens: 25,
        totalKvBlocks: 100,
      },
    ]);
    guard.addTokens(1);
    expect(load.snapshot()[0]).toMatchObject({ activeDecodeBlocks: 3, activePrefillTokens: 0 });
    guard.addTokens(4);
    expect(load.snapshot()[0]?.activeDecodeBlocks).toBe(3);
    guard.addTokens(1);
    expect(load.snapshot()[0]?.activeDecodeBlocks).toBe(4);
    expect(loadChanged).toHaveBeenCalledTimes(3);
    guard.release();
    guard.release();
    expect(load.snapshot()[0]).toMatchObject({ activeRequests: 0, activeDecodeBlocks: 0 });
    expect(load.isBusy).toBe(false);
  });

  it('counts each rank by itself, and requests without rank for the first', () => {
    const { load } = tracker(2);
    load.begin(10);
    load.begin(20, 5);
    load.begin(30, 5);
    load.begin(40, 99).release();
    expect(
      load.snapshot().map(({ dpRank, activePrefillTokens }) => [dpRank, activePrefillTokens]),
    ).toEqual([
      [4, 10],
      [5, 50],
    ]);
  });

  it('believes the engine and adds what changes afterwards', () => {
    const { load } = tracker();
    const guards = [load.begin(100), load.begin(100), load.begin(100)];
    guards[0]?.addTokens(1);
    expect(load.snapshot()[0]?.activeDecodeBlocks).toBe(11);
    // the engine has blocks for all three prompts, most of which they share
    load.observe([{ dpRank: 4, waitingRequests: 1, usedBlocks: 13 }]);
    expect(load.snapshot()[0]).toMatchObject({
      activeDecodeBlocks: 13,
      activeRequests: 2,
      waitingRequests: 1,
    });
    guards[1]?.addTokens(1);
    expect(load.snapshot()[0]?.activeDecodeBlocks).toBe(14);
    guards[1]?.addTokens(10);
    expect(load.snapshot()[0]?.activeDecodeBlocks).toBe(15);
    for (const guard of guards) guard.release();
    load.observe([{ dpRank: 4, waitingRequests: 5, usedBlocks: 50 }]);
    expect(load.snapshot()[0]).toMatchObject({ activeDecodeBlocks: 0, waitingRequests: 0 });
  });
});

describe('parseVllmLoad', () => {
  it('reads every rank of the page', () => {
    const page = [
      '# TYPE vllm:num_requests_waiting gauge',
      'vllm:num_requests_waiting{engine="0",model_name="a,b"} 3.0',
      'vllm:num_requests_waiting{engine="1",model_name="a,b"} 0.0',
      'vllm:num_requests_waiting_by_reason{engine="0",model_name="a,b",reason="capacity"} 9.0',
      'vllm:kv_cache_usage_perc{engine="0",model_name="a,b"} 0.25',
      'vllm:kv_cache_usage_perc{model_name="a,b",engine="1"} 1.0',
    ].join('\n');
    expect(parseVllmLoad(page, 160)).toEqual([
      { dpRank: 0, waitingRequests: 3, usedBlocks: 40 },
      { dpRank: 1, waitingRequests: 0, usedBlocks: 160 },
    ]);
  });

  it('finds nothing on the pages of other engines', () => {
    expect(parseVllmLoad('llamacpp:requests_processing 1\n', 160)).toBeUndefined();
  });
});
