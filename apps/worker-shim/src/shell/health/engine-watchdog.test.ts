import { nullLogger } from '@dynamo-ts/telemetry';
import { FakeClock } from '@dynamo-ts/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { EngineWatchdog } from './engine-watchdog.ts';

describe('EngineWatchdog', () => {
  let clock: FakeClock;
  let watchdog: EngineWatchdog;
  const onStall = vi.fn();
  const requests = {
    writes: 0,
    begun: 0,
    fresh: 0,
    /** Each look sees requests that have given something since, as engines that serve all do. */
    owed: () => [
      ...Array.from({ length: requests.begun }, () => ({ begun: true, writes: 1, giveUp })),
      ...Array.from({ length: requests.fresh }, () => ({ begun: false, writes: 0, giveUp })),
    ],
  };
  const giveUp = vi.fn();
  const onStuck = vi.fn();

  beforeEach(() => {
    clock = new FakeClock();
    onStall.mockReset();
    onStuck.mockReset();
    Object.assign(requests, { writes: 0, begun: 0, fresh: 0 });
    watchdog = new EngineWatchdog({
      handler: requests,
      stallMs: 1000,
      firstTokenMs: 5000,
      onStall,
      onStuck,
      logger: nullLogger,
      clock,
    });
    watchdog.start();
  });

  afterEach(async () => {
    await watchdog.close();
  });

  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 200) await clock.advance(200);
  }

  it('says nothing of an idle engine, and nothing of one that gives anybody tokens', async () => {
    await pass(10_000);
    requests.begun = 3;
    requests.fresh = 2;
    for (let round = 0; round < 20; round += 1) {
      requests.writes += 1;
      await pass(800);
    }
    expect(onStall).not.toHaveBeenCalled();
  });

  it('tells of an engine whose answers stop in the middle, once per silence', async () => {
    requests.begun = 2;
    requests.fresh = 1;
    await pass(800);
    expect(onStall).not.toHaveBeenCalled();
    await pass(400);
    expect(onStall).toHaveBeenCalledExactlyOnceWith({ silentMs: 1000, requests: 3 });
    requests.begun = 0;
    requests.fresh = 0;
    await pass(10_000);
    expect(onStall).toHaveBeenCalledOnce();
  });

  it('gives requests without a token more time: they may be in a long prefill', async () => {
    requests.fresh = 1;
    await pass(4800);
    expect(onStall).not.toHaveBeenCalled();
    await pass(400);
    expect(onStall).toHaveBeenCalledOnce();
  });

  it('tells of a request that gets nothing while another one does', async () => {
    const forgotten = { begun: true, writes: 3, giveUp };
    const flowing = { begun: true, writes: 0, giveUp };
    vi.spyOn(requests, 'owed').mockImplementation(() => [forgotten, flowing]);
    for (let round = 0; round < 6; round += 1) {
      requests.writes += 1;
      flowing.writes += 1;
      await pass(200);
    }
    expect(onStuck).toHaveBeenCalledExactlyOnceWith({ request: forgotten, silentMs: 1000 });
    expect(onStall).not.toHaveBeenCalled();
    vi.restoreAllMocks();
  });
});
