import { DynamoError, createInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { EndpointInstance } from '@dynamo-ts/protocol';
import { nullLogger } from '@dynamo-ts/telemetry';
import { FakeClock } from '@dynamo-ts/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Availability } from './availability.ts';
import type { InstanceChange, InstanceSet } from './instance-set.ts';

const INHIBITED_MS = 5000;

describe('Availability', () => {
  const flapping = createInstanceId();
  const steady = createInstanceId();
  let ids: InstanceId[];
  let clock: FakeClock;
  let availability: Availability;
  let listener: (change: InstanceChange) => void;

  const instanceOf = (instanceId: InstanceId) => EndpointInstance.fromPartial({ instanceId });

  beforeEach(() => {
    ids = [flapping, steady];
    clock = new FakeClock();
    availability = new Availability({
      instances: {
        ids: () => ids,
        get: (id: InstanceId) => (ids.includes(id) ? instanceOf(id) : undefined),
        onChange: (its: (change: InstanceChange) => void) => {
          listener = its;
          return () => undefined;
        },
      } as Partial<InstanceSet> as InstanceSet,
      reachable: () => Promise.resolve(),
      inhibitedMs: INHIBITED_MS,
      logger: nullLogger,
      clock,
    });
  });

  afterEach(() => {
    availability.close();
  });

  /** Reports the instance down and measures how long it stays out. */
  async function outMs(): Promise<number> {
    availability.reportDown(flapping);
    const startMs = clock.monotonicMs();
    while (!availability.routable().includes(flapping)) await clock.advance(1000);
    return clock.monotonicMs() - startMs;
  }

  it('leaves an instance that fails again soon out for longer, up to a minute', async () => {
    const times = [];
    for (let fault = 0; fault < 6; fault += 1) times.push(await outMs());
    expect(times).toEqual([5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  });

  it('forgets the faults of an instance that was well for a minute, and of one that left', async () => {
    await outMs();
    expect(await outMs()).toBe(10_000);
    await clock.advance(60_000);
    expect(await outMs()).toBe(5000);
    expect(await outMs()).toBe(10_000);
    listener({ kind: 'removed', instance: instanceOf(flapping) });
    expect(await outMs()).toBe(5000);
  });

  it('counts reports of one failure once', async () => {
    availability.reportDown(flapping);
    availability.reportDown(flapping);
    expect(await outMs()).toBe(5000);
    expect(await outMs()).toBe(10_000);
  });

  it('never shuts the last instance out, however often it failed', async () => {
    ids = [flapping];
    for (let fault = 0; fault < 5; fault += 1) {
      availability.reportDown(flapping);
      expect(availability.routable()).toEqual([flapping]);
      await clock.advance(60_000);
    }
    ids = [flapping, steady];
    availability.reportDown(flapping);
    availability.reportDown(steady);
    expect(availability.routable()).toEqual([flapping, steady]);
  });

  it('no error that blames the client shuts anything out', () => {
    for (const code of [
      'request.invalid',
      'request.context_length',
      'request.cancelled',
      'request.deadline_exceeded',
      'backend.error',
    ] as const) {
      expect(new DynamoError(code, '').info.inhibits).toBe(false);
    }
  });
});
