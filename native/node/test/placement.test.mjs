// The placement through its binding: what JavaScript sees, and that a recovery never holds a decision up.
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';

import { describe, expect, it } from 'vitest';

const { NativeKvPublisher, NativePlacement, blockHashes, rescoreDecision } = createRequire(
  import.meta.url,
)('../index.js');

const COST = {
  policy: 'linear',
  overlapScoreCredit: 1,
  overlapScoreCreditDecay: 0,
  prefillLoadScale: 1,
  hostCacheHitWeight: 0.75,
  diskCacheHitWeight: 0.25,
  sharedCacheMultiplier: 0,
  decodeActiveRequestWeight: 0,
  displacementWeight: 4,
  temperature: 0,
  trackPrefillTokens: true,
};

function placement(changes = {}) {
  return new NativePlacement({
    blockSize: 16,
    endpoint: 'test.backend.generate',
    routerId: 7n,
    useKvEvents: true,
    ttlMs: 120_000,
    maxTreeSize: 1 << 20,
    pruneTargetRatio: 0.8,
    trackActiveBlocks: true,
    trackOutputBlocks: false,
    assumeKvReuse: true,
    activeSequenceStride: 1,
    bookingExpiryMs: 3_600_000,
    cost: COST,
    seed: 1n,
    decisionRingBytes: 1 << 20,
    ...changes,
  });
}

function worker(workerId, changes = {}) {
  return {
    workerId,
    dpStart: 0,
    dpSize: 1,
    totalKvBlocks: 0,
    maxBatchedTokens: 8192,
    kvEvents: true,
    taints: [],
    ...changes,
  };
}

function request(requestId, tokenIds) {
  return {
    requestId,
    mode: 'kv',
    tokenIds,
    promptTokens: tokenIds.length,
    nowMs: 1,
    unixMs: 1,
    book: true,
  };
}

/** `{ worker_id: 2, dp_rank: 0 }` as a WorkerKvQueryRequest. */
const QUERY_OF_WORKER_2 = Uint8Array.of(0x08, 0x02);

const TOKENS = Uint32Array.from({ length: 1000 }, (_, at) => at);

/** Worker 2 and the blocks of a prompt in its cache. */
function publisher(local, from = 1n) {
  const made = new NativeKvPublisher({ workerId: 2n, epoch: 5n, blockSize: 16, dpStart: 0 });
  const engine = local.map((_, at) => from + BigInt(at));
  made.stored(0, 'device', undefined, engine, local);
  return made;
}

describe('NativePlacement', () => {
  it('chooses the worker whose events hold the prompt, and records why', async () => {
    const core = placement();
    core.setWorker(worker(1n));
    core.setWorker(worker(2n));
    expect(core.recoveriesDue(1).map(({ workerId }) => workerId)).toEqual([1n, 2n]);
    const source = publisher(blockHashes(TOKENS, 16, '', ''));
    await core.finishRecovery(2n, 0, await source.query(QUERY_OF_WORKER_2), 2);
    core.failRecovery(1n, 0, 2);
    expect(core.health(3).states).toEqual(['demoted', 'live']);

    const chosen = core.select(request('a', TOKENS));
    expect(chosen).toMatchObject({
      workerId: 2n,
      dpRank: 0,
      reason: 'lowest_cost',
      overlapBlocks: 62,
      cachedTokens: 992,
    });
    expect(chosen.failure).toBeUndefined();
    const again = rescoreDecision(core.decision(chosen.decisionId));
    expect(again).toMatchObject({ chosen: 1, reason: 'lowest_cost' });
    expect(core.free('a', { kind: 'completed', cachedTokens: 992 })).toEqual({
      workerId: 2n,
      dpRank: 0,
      predictedCachedTokens: 992,
    });
    const { lines, count, dropped } = await core.drainDecisions(10);
    expect([count, dropped]).toEqual([1, 0]);
    expect(JSON.parse(lines)).toMatchObject({
      decision_id: chosen.decisionId,
      router_id: '7',
      outcome: { kind: 'completed', cached_tokens: 992 },
    });
    core.close();
  });

  it('gives a thousand decisions at once and no more', () => {
    const core = placement({ decisionRingBytes: 16 << 20 });
    core.setWorker(worker(1n));
    const tokens = TOKENS.subarray(0, 16);
    for (let at = 0; at < 1001; at += 1) core.select(request(`r${at}`, tokens));
    expect(core.recentDecisions(3)).toHaveLength(3);
    expect(core.recentDecisions(2 ** 32 - 1)).toHaveLength(1000);
    core.close();
  });

  it('answers failures and throws only for what the caller did wrong', () => {
    const core = placement();
    expect(core.select(request('a', TOKENS))).toMatchObject({ failure: 'no_endpoints' });
    core.setWorker(worker(1n));
    const overrides = { temperature: -1 };
    expect(core.select({ ...request('a', TOKENS), overrides })).toMatchObject({
      failure: 'invalid_override',
      message: 'router_temperature is -1: use a finite number from 0',
    });
    const code = (call) => {
      try {
        call();
      } catch (error) {
        return error.code;
      }
      return undefined;
    };
    expect(code(() => core.select({ ...request('a', TOKENS), mode: 'other' }))).toBe(
      'request.invalid',
    );
    expect(code(() => rescoreDecision(Uint8Array.of(255)))).toBe('request.invalid');
    expect(code(() => placement({ blockSize: 0 }))).toBe('config.invalid');
    expect(code(() => placement({ cost: { ...COST, policy: 'other' } }))).toBe('config.invalid');
    expect(core.applyEvents(Uint8Array.of(1, 2, 3), 1).refused).toBe(1);
    core.close();
    core.close();
    expect(code(() => core.loads())).toBe('runtime.closed');
  });

  it('decides while a large snapshot goes in', async () => {
    const core = placement();
    core.setWorker(worker(1n, { kvEvents: false }));
    core.setWorker(worker(2n));
    core.recoveriesDue(1);
    const local = BigUint64Array.from({ length: 400_000 }, (_, at) => BigInt(at) * 977n + 5n);
    const items = await publisher(local).query(QUERY_OF_WORKER_2);
    let tookMs;
    const start = performance.now();
    const recovery = core.finishRecovery(2n, 0, items, 2);
    void recovery.then(() => (tookMs = performance.now() - start));
    const waits = [];
    for (let at = 0; tookMs === undefined; at += 1) {
      const begin = performance.now();
      core.select(request('again and again', TOKENS));
      waits.push(performance.now() - begin);
      if (at % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await recovery;
    expect(core.health(3).blocks[1]).toBe(400_000);
    waits.sort((a, b) => a - b);
    // Had decisions to wait for the restoration, it would be over after a few of them.
    expect(waits.length).toBeGreaterThan(20);
    expect(waits[Math.floor(waits.length * 0.95)]).toBeLessThan(tookMs / 10);
    core.close();
  });
});
