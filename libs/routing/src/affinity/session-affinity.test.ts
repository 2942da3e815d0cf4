import { afterEach, describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { createLocalPlanes } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { FakeClock } from '@dynamo-ts/testing';

import type { Placement } from '../placement-router.ts';
import { SessionAffinity } from './session-affinity.ts';
import type { SessionAffinityOptions } from './session-affinity.ts';

const [one, two] = [asInstanceId(1n), asInstanceId(2n)];
const path = { namespace: 'test', component: 'backend', endpoint: 'generate' };
const TTL_MS = 60_000;

const on = (instanceId: InstanceId, dpRank = 0): Placement => ({
  instanceId,
  dpRank,
  overlapBlocks: 0,
  cachedTokens: 0,
  queuedMs: 0,
  reason: 'test',
});

const opened: AsyncDisposable[] = [];
const planes = createLocalPlanes();
let routers = 100n;

function affinity(options: Partial<SessionAffinityOptions> = {}) {
  const clock = new FakeClock();
  const sessions = new SessionAffinity({
    ttlMs: TTL_MS,
    path,
    routerId: asInstanceId(routers++),
    events: planes.events,
    clock,
    logger: nullLogger,
    ...options,
  });
  opened.push(sessions);
  /** A request that was placed, answered and ended. */
  const serve = (sessionId: string, placement: Placement): void => {
    const id = `r${Math.random()}`;
    sessions.bound(sessionId, id, placement);
    sessions.confirmed(id);
    sessions.ended(id, { kind: 'completed' });
  };
  return { sessions, clock, serve };
}

afterEach(async () => {
  for (const each of opened.splice(0)) await each[Symbol.asyncDispose]();
});

describe('SessionAffinity', () => {
  it('binds a session with its first answer, not with its first placement', () => {
    const { sessions } = affinity();
    sessions.bound('s', 'r1', on(one, 3));
    expect(sessions.target('s')).toBeUndefined();
    sessions.confirmed('r1');
    expect(sessions.target('s')).toEqual({ instanceId: one, dpRank: 3, hard: true });
    expect(sessions.target('other')).toBeUndefined();
  });

  it('does not bind what never answered', () => {
    const { sessions } = affinity();
    sessions.bound('s', 'r1', on(one));
    sessions.ended('r1', { kind: 'failed', errorCode: 'transport.cannot_connect' });
    sessions.confirmed('r1');
    expect(sessions.target('s')).toBeUndefined();
  });

  it('forgets a session that was idle for the TTL, counted from its last end', async () => {
    const { sessions, clock, serve } = affinity();
    serve('s', on(one));
    await clock.advance(TTL_MS - 1);
    sessions.bound('s', 'r2', on(one));
    await clock.advance(TTL_MS * 3);
    expect(sessions.target('s')).toMatchObject({ instanceId: one });
    sessions.ended('r2', { kind: 'cancelled' });
    await clock.advance(TTL_MS - 1);
    expect(sessions.target('s')).toMatchObject({ instanceId: one });
    await clock.advance(1);
    expect(sessions.target('s')).toBeUndefined();
  });

  it.each([
    [{ kind: 'failed', errorCode: 'transport.disconnected' }, false],
    [{ kind: 'failed' }, false],
    [{ kind: 'failed', errorCode: 'request.invalid' }, true],
    [{ kind: 'cancelled' }, true],
    [{ kind: 'completed' }, true],
  ] as const)('after %o the binding stays: %s', (outcome, stays) => {
    const { sessions, serve } = affinity();
    serve('s', on(one));
    sessions.bound('s', 'r2', on(one));
    sessions.ended('r2', outcome);
    expect(sessions.target('s') !== undefined).toBe(stays);
  });

  it('is not hurt by a failure elsewhere', () => {
    const { sessions, serve } = affinity();
    serve('s', on(one));
    sessions.bound('s', 'r2', on(two));
    sessions.ended('r2', { kind: 'failed' });
    expect(sessions.target('s')).toMatchObject({ instanceId: one });
  });

  it('lets the first one stand in hard mode and follows the session in soft mode', () => {
    const hard = affinity();
    hard.serve('s', on(one));
    hard.serve('s', on(two));
    expect(hard.sessions.target('s')).toEqual({ instanceId: one, dpRank: 0, hard: true });
    const soft = affinity({ mode: 'soft' });
    soft.serve('s', on(one));
    soft.serve('s', on(two));
    expect(soft.sessions.target('s')).toEqual({ instanceId: two, dpRank: 0, hard: false });
  });

  it('forgets the sessions of a worker that left, and one that is invalidated', () => {
    const { sessions, serve } = affinity();
    serve('a', on(one));
    serve('b', on(two));
    serve('c', on(two));
    sessions.instanceGone(one);
    sessions.invalidate('b');
    expect(['a', 'b', 'c'].map((id) => sessions.target(id)?.instanceId)).toEqual([
      undefined,
      undefined,
      two,
    ]);
  });

  it('holds a bounded number of sessions: the least recently used goes', () => {
    const { sessions, serve } = affinity({ capacity: 3 });
    for (const id of ['a', 'b', 'c']) serve(id, on(one));
    serve('a', on(one));
    serve('d', on(one));
    expect(sessions.size).toBe(3);
    expect(['a', 'b', 'c', 'd'].filter((id) => sessions.target(id))).toEqual(['a', 'c', 'd']);
  });

  it('lets idle sessions go although nobody asks for them', async () => {
    const metrics = new MetricsRegistry();
    const { sessions, clock, serve } = affinity({ metrics });
    for (let id = 0; id < 40; id++) serve(`s${id}`, on(one));
    await clock.advance(TTL_MS);
    for (let id = 0; id < 10; id++) serve(`t${id}`, on(one));
    expect(sessions.size).toBe(10);
    const text = await metrics.text();
    expect(text).toMatch(/session_bindings\{[^}]*\} 10\n/);
    expect(text).toMatch(/session_bindings_ended_total\{[^}]*reason="expired"\} 40\n/);
  });

  it('takes ids of any length', () => {
    const { sessions, serve } = affinity();
    const long = 'x'.repeat(100_000);
    serve(long, on(one));
    expect(sessions.target(long)).toMatchObject({ instanceId: one });
    expect(sessions.target(`${long}y`)).toBeUndefined();
  });
});

describe('several routers', () => {
  const agree = async (
    sides: readonly { readonly sessions: SessionAffinity }[],
    instanceId: InstanceId | undefined,
  ): Promise<void> => {
    await vi.waitFor(() => {
      for (const { sessions } of sides) expect(sessions.target('s')?.instanceId).toBe(instanceId);
    });
  };
  const pair = async (options: Partial<SessionAffinityOptions> = {}) => {
    const sides = [affinity(options), affinity(options)] as const;
    for (const { sessions, clock } of sides) {
      sessions.start();
      await clock.advance(0);
    }
    return sides;
  };

  it('tell each other of bindings and of their end', async () => {
    const [a, b] = await pair();
    a.serve('s', on(one));
    await agree([a, b], one);
    b.sessions.invalidate('s');
    await agree([a, b], undefined);
  });

  it('agree on the older of two bindings', async () => {
    const [a, b] = await pair();
    await b.clock.advance(5);
    b.serve('s', on(two));
    // Before it hears of it, which takes a turn of the event loop.
    a.serve('s', on(one));
    await agree([a, b], one);
  });

  it('agree on the worker with the lower id when both bound at the same time', async () => {
    const [a, b] = await pair();
    a.serve('s', on(two));
    b.serve('s', on(one));
    await agree([a, b], one);
  });

  it('keep a session that one of them serves', async () => {
    const [a, b] = await pair();
    a.serve('s', on(one));
    await agree([a, b], one);
    for (let round = 0; round < 4; round++) {
      await Promise.all([a.clock.advance(TTL_MS / 2), b.clock.advance(TTL_MS / 2)]);
      a.serve('s', on(one));
      await a.clock.advance(0);
    }
    await agree([a, b], one);
  });

  it('follow a session that one of them placed elsewhere in soft mode', async () => {
    const [a, b] = await pair({ mode: 'soft' });
    a.serve('s', on(one));
    await agree([a, b], one);
    await Promise.all([a.clock.advance(1000), b.clock.advance(1000)]);
    b.serve('s', on(two));
    await agree([a], two);
    await agree([b], two);
  });

  it('do not let go of a session that runs because another one did', async () => {
    const [a, b] = await pair();
    a.serve('s', on(one));
    await agree([a, b], one);
    a.sessions.bound('s', 'running', on(one));
    b.sessions.invalidate('s');
    await b.clock.advance(0);
    await agree([a], one);
  });

  it('are not moved by what is not theirs or cannot be read', async () => {
    const [a, b] = await pair();
    const other = affinity({ path: { ...path, endpoint: 'other' } });
    other.sessions.start();
    await other.clock.advance(0);
    a.sessions.accept(Uint8Array.of(255, 255));
    other.serve('s', on(one));
    b.serve('t', on(one));
    await vi.waitFor(() => {
      expect(a.sessions.target('t')).toBeDefined();
    });
    await agree([a, b], undefined);
  });
});
