import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextIteration } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { GIVE_WAY_MS, ReaderTurns, TURN_MS } from './reader-turns.ts';
import { ResponseBuffer } from './response-buffer.ts';

/** Turns on a clock that stands still unless a test moves it. */
function turnsAt(clock: { ms: number }): ReaderTurns {
  return new ReaderTurns({ nowMs: () => clock.ms });
}

describe('ReaderTurns', () => {
  it('lets readers run one after the other in the same iteration while there is time', async () => {
    const turns = turnsAt({ ms: 0 });
    const log: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      turns.enter(() => {
        log.push(name);
        void Promise.resolve()
          .then(() => Promise.resolve())
          .then(() => log.push(`${name} has read`));
      });
    }
    expect(log).toEqual([]);
    setImmediate(() => log.push('loop'));
    await nextIteration();
    expect(log).toEqual(['a', 'a has read', 'b', 'b has read', 'c', 'c has read', 'loop']);
    expect(turns.busy).toBe(false);
  });

  it('lets the loop go on when the time is used up, then goes on itself', async () => {
    const clock = { ms: 0 };
    const turns = turnsAt(clock);
    const log: string[] = [];
    for (const name of ['a', 'b']) {
      turns.enter(() => {
        void Promise.resolve().then(() => {
          log.push(name);
          clock.ms += TURN_MS;
        });
      });
    }
    setImmediate(() => log.push('loop'));
    await nextIteration();
    expect(log).toEqual(['a', 'loop']);
    expect(turns.busy).toBe(true);
    await nextIteration();
    expect(log).toEqual(['a', 'loop', 'b']);
  });

  /** Has this process take a connection. */
  async function takeConnection(): Promise<void> {
    const server = createServer((socket) => socket.destroy());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(server, 'connection');
    client.destroy();
    server.close();
  }

  it('gives way to new connections, but not for long', async () => {
    const clock = { ms: 0 };
    using turns = turnsAt(clock);
    const log: string[] = [];
    await takeConnection();
    turns.enter(() => log.push('first'));
    setImmediate(() => log.push('loop'));
    await nextIteration();
    await nextIteration();
    expect(log).toEqual(['loop', 'first']);
    await takeConnection();
    turns.enter(() => log.push('second'));
    clock.ms += GIVE_WAY_MS;
    setImmediate(() => log.push('loop'));
    await nextIteration();
    expect(log).toEqual(['loop', 'first', 'second', 'loop']);
  });

  it('has forgotten connections when it is closed', async () => {
    const turns = turnsAt({ ms: 0 });
    turns.close();
    await takeConnection();
    const log: string[] = [];
    turns.enter(() => log.push('reader'));
    setImmediate(() => log.push('loop'));
    await nextIteration();
    expect(log).toEqual(['reader', 'loop']);
  });
});

describe('ResponseBuffer with turns', () => {
  /** An answer of which one batch has been read, and turns that another reader has used up. */
  async function behindAnother() {
    const clock = { ms: 0 };
    const turns = turnsAt(clock);
    const open = () => new ResponseBuffer({ onCancel: () => undefined, turns });
    const buffer = open();
    buffer.push(Buffer.from('first'));
    await buffer.nextBatch();
    turns.enter(() => {
      clock.ms += TURN_MS;
    });
    turns.enter(() => undefined);
    await Promise.resolve();
    return { buffer, fresh: open(), turns };
  }

  it('collects what arrives before its turn into one batch', async () => {
    const { buffer, turns } = await behindAnother();
    buffer.push(Buffer.from('second'));
    const batch = buffer.nextBatch();
    buffer.push(Buffer.from('third'));
    expect(turns.busy).toBe(true);
    expect((await batch)?.map(String)).toEqual(['second', 'third']);
    expect(turns.busy).toBe(false);
  });

  it('gives its first batch and the news of a cancel at once', async () => {
    const { buffer, fresh, turns } = await behindAnother();
    const first = fresh.nextBatch();
    fresh.push(Buffer.from('token'));
    expect((await first)?.map(String)).toEqual(['token']);
    const rest = buffer.nextBatch();
    buffer.cancel();
    await expect(rest).rejects.toMatchObject({ code: 'request.cancelled' });
    expect(turns.busy).toBe(true);
  });
});
