import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import { FakeClock } from '@dynamo-ts/testing';

import { Bookings } from './bookings.ts';

const [a, b] = [asInstanceId(1n), asInstanceId(2n)];

describe('Bookings', () => {
  it('counts requests per instance and forgets instances without any', () => {
    const bookings = new Bookings();
    bookings.book('r1', a);
    bookings.book('r2', a);
    bookings.book('r3', b);
    expect([bookings.inFlight(a), bookings.inFlight(b), bookings.size]).toEqual([2, 1, 3]);
    bookings.free('r1');
    bookings.free('r1');
    bookings.free('unknown');
    expect([bookings.inFlight(a), bookings.size]).toEqual([1, 2]);
  });

  it('moves a request that is booked again', () => {
    const bookings = new Bookings();
    bookings.book('r1', a);
    bookings.book('r1', b);
    expect([bookings.inFlight(a), bookings.inFlight(b), bookings.size]).toEqual([0, 1, 1]);
  });

  it('tells the age at the first token once', async () => {
    const clock = new FakeClock();
    const onPrefillDone = vi.fn();
    const bookings = new Bookings({ clock, onPrefillDone });
    bookings.book('r1', a);
    await clock.advance(40);
    bookings.prefillDone('r1');
    bookings.prefillDone('r1');
    bookings.prefillDone('unknown');
    expect(onPrefillDone.mock.calls).toEqual([[40]]);
  });

  it('drops what nobody gave back, oldest first, and only that', async () => {
    const clock = new FakeClock();
    const onReleased = vi.fn();
    const bookings = new Bookings({ clock, expiryMs: 1000, onReleased });
    bookings.book('old', a);
    await clock.advance(600);
    bookings.book('young', a);
    await clock.advance(500);
    bookings.expire();
    expect([bookings.inFlight(a), bookings.size]).toEqual([1, 1]);
    expect(onReleased.mock.calls).toEqual([['expired']]);
  });

  it('never loses count, whatever is booked and freed in which order', () => {
    const step = fc.record({
      id: fc.constantFrom('r1', 'r2', 'r3', 'r4'),
      to: fc.constantFrom(a, b, undefined),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const bookings = new Bookings();
        const model = new Map<string, bigint>();
        for (const { id, to } of steps) {
          if (to === undefined) {
            bookings.free(id);
            model.delete(id);
          } else {
            bookings.book(id, to);
            model.set(id, to);
          }
        }
        const on = (instance: bigint): number =>
          [...model.values()].filter((each) => each === instance).length;
        expect([bookings.inFlight(a), bookings.inFlight(b)]).toEqual([on(a), on(b)]);
        expect(bookings.size).toBe(model.size);
      }),
    );
  });
});
