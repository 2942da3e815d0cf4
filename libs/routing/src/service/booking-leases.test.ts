import type { Clock } from '@dynamo-ts/base';
import { describe, expect, it, vi } from 'vitest';

import { BookingLeases } from './booking-leases.ts';
import type { LeaseHolder } from './booking-leases.ts';

const SWEEP_MS = 1000;
const booking = (requestId: string): { endpoint: string; requestId: string } => ({
  endpoint: 'test.backend.generate',
  requestId,
});

/** Leases on a clock that the test moves, and what expired. */
function held(options: { leaseMs?: number; graceMs?: number } = {}): {
  leases: BookingLeases;
  expired: string[];
  pass: (ms: number) => void;
} {
  vi.useFakeTimers();
  let nowMs = 0;
  const expired: string[] = [];
  const clock: Clock = {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: () => Promise.reject(new Error('not used')),
  };
  const leases = new BookingLeases({
    leaseMs: 10_000,
    sweepMs: SWEEP_MS,
    clock,
    onExpired: ({ requestId }) => expired.push(requestId),
    ...options,
  });
  return {
    leases,
    expired,
    pass: (ms) => {
      for (let left = ms; left > 0; left -= SWEEP_MS) {
        nowMs += SWEEP_MS;
        vi.advanceTimersByTime(SWEEP_MS);
      }
    },
  };
}

const alone: LeaseHolder = { ownerId: '', leaseMs: 0 };

describe('BookingLeases', () => {
  it('end a booking that nobody speaks of, and keep the one that is spoken of', () => {
    const { leases, expired, pass } = held();
    leases.hold(booking('silent'), alone);
    leases.hold(booking('busy'), alone);
    pass(8000);
    expect(leases.touch(booking('busy'))).toBe(true);
    pass(8000);
    expect(expired).toEqual(['silent']);
    pass(8000);
    expect(expired).toEqual(['silent', 'busy']);
    expect(leases.size).toBe(0);
    expect(leases.touch(booking('busy'))).toBe(false);
  });

  it('are as long as the caller asks', () => {
    const { leases, expired, pass } = held();
    leases.hold(booking('short'), { ownerId: '', leaseMs: 2000 });
    leases.hold(booking('long'), { ownerId: '', leaseMs: 30_000 });
    pass(12_000);
    expect(expired).toEqual(['short']);
  });

  it('are shared by the bookings of one owner and renewed together', () => {
    const { leases, expired, pass } = held();
    const owner = { ownerId: 'frontend', leaseMs: 5000 };
    leases.hold(booking('a'), owner);
    leases.hold(booking('b'), owner);
    pass(4000);
    expect(leases.renewOwner('frontend')).toBe(2);
    leases.release(booking('a'));
    pass(4000);
    expect(leases.renewOwner('frontend')).toBe(1);
    expect(leases.renewOwner('another')).toBe(0);
    pass(6000);
    expect(expired).toEqual(['b']);
    expect(leases.renewOwner('frontend')).toBe(0);
  });

  it('shrink to the grace time when the connection ends, and grow again when the owner comes back', () => {
    const { leases, expired, pass } = held({ leaseMs: 60_000, graceMs: 3000 });
    const [gone, back] = [new AbortController(), new AbortController()];
    leases.hold(booking('gone'), { ownerId: 'gone', leaseMs: 0, caller: gone.signal });
    leases.hold(booking('back'), { ownerId: 'back', leaseMs: 0, caller: back.signal });
    leases.hold(booking('nameless'), { ...alone, caller: gone.signal });
    pass(120_000);
    expect(expired).toEqual(['gone', 'back']);
    expect(leases.has(booking('nameless'))).toBe(true);
    leases.hold(booking('gone'), { ownerId: 'gone', leaseMs: 0, caller: gone.signal });
    leases.hold(booking('back'), { ownerId: 'back', leaseMs: 0, caller: back.signal });
    gone.abort();
    back.abort();
    pass(2000);
    leases.renewOwner('back');
    pass(2000);
    expect(expired.slice(2).toSorted()).toEqual(['gone', 'nameless']);
    expect(leases.has(booking('back'))).toBe(true);
  });

  it('move when a request is booked again', () => {
    const { leases, expired, pass } = held();
    leases.hold(booking('r'), { ownerId: 'one', leaseMs: 2000 });
    leases.hold(booking('r'), { ownerId: 'two', leaseMs: 20_000 });
    pass(10_000);
    expect(expired).toEqual([]);
    expect(leases.size).toBe(1);
    leases.close();
    pass(60_000);
    expect(expired).toEqual([]);
  });
});
