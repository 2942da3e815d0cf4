import { FakeClock } from '@dynamo-ts/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AbortConfirmer } from './abort-confirmer.ts';
import type { EngineWork } from './abort-confirmer.ts';

describe('AbortConfirmer', () => {
  let clock: FakeClock;
  let confirmer: AbortConfirmer;
  let work: EngineWork | undefined | Error;
  let wanted: number;
  let reads: number;
  let released: string[];

  beforeEach(() => {
    clock = new FakeClock();
    wanted = 0;
    reads = 0;
    released = [];
    confirmer = new AbortConfirmer({
      read: () => {
        reads += 1;
        return work instanceof Error ? Promise.reject(work) : Promise.resolve(work);
      },
      wanted: () => wanted,
      clock,
    });
  });

  afterEach(async () => {
    await confirmer.close();
  });

  function leave(name: string): void {
    confirmer.confirm((confirmed) => released.push(`${name}${confirmed ? '' : ' unconfirmed'}`));
  }

  /** Lets the confirmer ask once more. */
  async function askAgain(): Promise<void> {
    const before = reads;
    await vi.waitFor(async () => {
      await clock.advance(100);
      expect(reads).toBeGreaterThan(before);
    });
  }

  it('waits until the engine has no more requests than are wanted, the oldest leave first', async () => {
    work = { requests: 4 };
    wanted = 2;
    leave('a');
    leave('b');
    await vi.waitFor(() => expect(reads).toBe(1));
    expect(released).toEqual([]);
    work = { requests: 3 };
    await askAgain();
    await vi.waitFor(() => expect(released).toEqual(['a']));
    work = { requests: 2 };
    await askAgain();
    await vi.waitFor(() => expect(released).toEqual(['a', 'b']));
  });

  it('asks nothing when nothing was given up, and not on when all is confirmed', async () => {
    work = { requests: 0 };
    await clock.advance(10_000);
    expect(reads).toBe(0);
    leave('a');
    await vi.waitFor(() => expect(released).toEqual(['a']));
    await clock.advance(10_000);
    expect(reads).toBe(1);
  });

  it('does not believe a count whose places are all taken by wanted requests', async () => {
    work = { requests: 2, places: 2 };
    wanted = 2;
    leave('a');
    await askAgain();
    expect(released).toEqual([]);
    wanted = 1;
    work = { requests: 1, places: 2 };
    await askAgain();
    await vi.waitFor(() => expect(released).toEqual(['a']));
  });

  it.each([undefined, new Error('no such page')])(
    'takes the closed connection for it when the engine does not tell (%s)',
    async (answer) => {
      work = answer;
      leave('a');
      await vi.waitFor(() => expect(released).toEqual(['a']));
    },
  );

  it('says after a minute that it was not confirmed', async () => {
    work = { requests: 1 };
    leave('a');
    await vi.waitFor(
      async () => {
        await clock.advance(5000);
        expect(released).toEqual(['a unconfirmed']);
      },
      { timeout: 20_000 },
    );
    expect(clock.monotonicMs()).toBeGreaterThan(60_000);
  });
});
