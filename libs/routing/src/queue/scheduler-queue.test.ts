import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import { Context } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { FakeClock } from '@dynamo-ts/testing';

import type { Placement, PlacementRequest } from '../placement-router.ts';
import { defaultProfile } from './policy-profile.ts';
import type { PolicyClass, PolicyProfile, QueuePolicy } from './policy-profile.ts';
import { SchedulerQueue } from './scheduler-queue.ts';
import type { SchedulerQueueOptions } from './scheduler-queue.ts';
import { TestingHost, requestOf } from './testing-host.ts';

interface Setup extends Partial<SchedulerQueueOptions> {
  readonly instances?: number;
  readonly queuePolicy?: QueuePolicy;
}

function setUp({ instances = 1, queuePolicy, ...options }: Setup = {}) {
  const host = new TestingHost(instances);
  const clock = new FakeClock();
  const queue = new SchedulerQueue({
    host,
    profile: defaultProfile({ queuePolicy, thresholdFrac: 1 }),
    model: 'm',
    clock,
    logger: nullLogger,
    ...options,
  });
  const schedule = (
    id: string,
    fields: Partial<PlacementRequest> = {},
    context = new Context(),
  ) => {
    const placing = queue.schedule(requestOf(id, fields), context);
    placing.catch(() => undefined);
    return placing;
  };
  /** Fills every instance over its threshold. */
  const fill = async (): Promise<void> => {
    for (const instanceId of host.instanceIds)
      await schedule(`fill-${instanceId}`, { promptTokens: 5000, pinned: instanceId });
    host.placed.length = 0;
  };
  const settle = () => clock.advance(0);
  /** One prompt after the other is computed, the first ones those that fill the instances. */
  const drainOneByOne = async (): Promise<string[]> => {
    for (const instanceId of host.instanceIds) host.prefillDone(`fill-${instanceId}`);
    queue.capacityChanged();
    await settle();
    // Grows while it is read.
    for (const placed of host.placed) {
      host.prefillDone(placed);
      queue.capacityChanged();
      await settle();
    }
    return host.placed;
  };
  return { host, clock, queue, schedule, fill, settle, drainOneByOne };
}

const big = { promptTokens: 2000 };

describe('SchedulerQueue', () => {
  it('places at once while a worker has room, and never looks when nothing is queued', async () => {
    const off = setUp({ profile: defaultProfile() });
    for (const id of ['a', 'b', 'c']) await off.schedule(id, { promptTokens: 1e6 });
    expect([off.host.placed, off.host.looks]).toEqual([['a', 'b', 'c'], 0]);
    expect(off.host.queued.get('a')).toEqual({ queuedMs: 0 });
    const on = setUp({ instances: 2 });
    await on.schedule('a', big);
    await on.schedule('b', big);
    expect(on.host.queued.get('b')).toEqual({ queuedMs: 0, policyClass: 'default' });
  });

  it('lets requests wait while all workers are busy and tells how long they did', async () => {
    const { host, clock, queue, schedule, fill } = setUp({ instances: 2 });
    await fill();
    const waiting = schedule('a');
    await clock.advance(400);
    expect([host.placed, queue.size]).toEqual([[], 1]);
    expect(queue.stats()).toEqual([
      { policyClass: 'default', pendingCount: 1, pendingIslTokens: 100, pendingCachedTokens: 0 },
    ]);
    host.prefillDone('fill-2');
    queue.capacityChanged();
    expect(await waiting).toMatchObject({ instanceId: 2n, queuedMs: 400 });
    expect(queue.stats()[0]).toMatchObject({ pendingCount: 0, pendingIslTokens: 0 });
  });

  it('finds room that nobody told it of', async () => {
    const { host, clock, schedule, fill } = setUp();
    await fill();
    const waiting = schedule('a');
    host.prefillDone('fill-1');
    await clock.advance(1000);
    await expect(waiting).resolves.toMatchObject({ instanceId: 1n });
  });

  it.each([
    ['fcfs', ['urgent', 'jump', 'first', 'second', 'last']],
    ['lcfs', ['urgent', 'jump', 'last', 'second', 'first']],
    ['wspt', ['urgent', 'last', 'jump', 'second', 'first']],
  ] as const)('keeps the order of %s', async (queuePolicy, order) => {
    const { clock, schedule, fill, drainOneByOne } = setUp({ queuePolicy });
    await fill();
    void schedule('first', { promptTokens: 9000 });
    await clock.advance(100);
    void schedule('second', { promptTokens: 4000 });
    await clock.advance(100);
    void schedule('jump', { promptTokens: 8000, priorityJump: 2 });
    void schedule('urgent', { promptTokens: 9500, strictPriority: 1 });
    await clock.advance(100);
    void schedule('last', { promptTokens: 1200 });
    expect(await drainOneByOne()).toEqual(order);
  });

  it('places in the order of the keys, whatever comes in whichever order and whatever is cancelled', async () => {
    const arrival = fc.record({
      priorityJump: fc.integer({ min: -3, max: 9 }),
      strictPriority: fc.integer({ min: 0, max: 2 }),
      afterMs: fc.integer({ min: 0, max: 3000 }),
      isCancelled: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { maxLength: 20 }), async (arrivals) => {
        const { clock, queue, schedule, fill, drainOneByOne } = setUp({ maxWaitMs: 0 });
        await fill();
        const expected: { id: string; strict: number; score: number; sequence: number }[] = [];
        for (const [index, { afterMs, isCancelled, ...fields }] of arrivals.entries()) {
          await clock.advance(afterMs);
          const [id, context] = [`r${index}`, new Context()];
          const placing = schedule(id, { ...fields, ...big }, context);
          if (isCancelled) {
            context.kill();
            await expect(placing).rejects.toMatchObject({ code: 'request.cancelled' });
            continue;
          }
          const score = Math.max(0, fields.priorityJump) - clock.monotonicMs() / 1000;
          expected.push({ id, strict: fields.strictPriority, score, sequence: index });
        }
        expect(queue.size).toBe(expected.length);
        expected.sort(
          (a, b) => b.strict - a.strict || b.score - a.score || a.sequence - b.sequence,
        );
        expect(await drainOneByOne()).toEqual(expected.map(({ id }) => id));
        expect(queue.stats()[0]).toMatchObject({ pendingCount: 0, pendingIslTokens: 0 });
      }),
      { numRuns: 30 },
    );
  });

  it('drops a request whose context stops at once, and it costs nothing afterwards', async () => {
    const { host, queue, schedule, fill, settle } = setUp();
    await fill();
    const context = new Context();
    const waiting = schedule('a', {}, context);
    context.stopGenerating('deadline');
    await expect(waiting).rejects.toMatchObject({ code: 'request.deadline_exceeded' });
    expect(queue.size).toBe(0);
    host.prefillDone('fill-1');
    const looks = host.looks;
    queue.capacityChanged();
    await settle();
    expect([host.placed, host.looks]).toEqual([[], looks]);
  });

  it('gives a wait up after the longest one and says when to come back', async () => {
    const metrics = new MetricsRegistry();
    const { clock, queue, schedule, fill } = setUp({ maxWaitMs: 30_000, metrics });
    await fill();
    const first = schedule('a');
    await clock.advance(20_000);
    const second = schedule('b');
    await clock.advance(10_000);
    await expect(first).rejects.toMatchObject({
      code: 'capacity.queue_timeout',
      details: { retry_after_seconds: 60 },
    });
    expect(queue.size).toBe(1);
    await clock.advance(20_000);
    await expect(second).rejects.toMatchObject({ code: 'capacity.queue_timeout' });
    expect(await metrics.text()).toContain(
      'dynamo_frontend_router_queue_rejections_total{model="m",worker_type="decode",policy_class="default",reason="timeout"} 2',
    );
  });

  it('refuses what exceeds its capacity', async () => {
    const { schedule, fill } = setUp({ capacity: 2 });
    await fill();
    void schedule('a');
    void schedule('b');
    await expect(schedule('c')).rejects.toMatchObject({ code: 'capacity.queue_full' });
  });

  it('does not let one that waits for a certain worker hold up the others', async () => {
    const { host, queue, schedule, fill } = setUp({ instances: 2 });
    await fill();
    void schedule('pinned', { pinned: asInstanceId(1n) });
    const anywhere = schedule('anywhere');
    host.prefillDone('fill-2');
    queue.capacityChanged();
    await expect(anywhere).resolves.toMatchObject({ instanceId: 2n });
    await expect(schedule('later')).resolves.toMatchObject({ instanceId: 2n });
    expect(queue.size).toBe(1);
    const retried = schedule('retried', { excluded: new Set([asInstanceId(2n)]) });
    host.prefillDone('fill-1');
    queue.capacityChanged();
    await expect(retried).resolves.toMatchObject({ instanceId: 1n });
    expect(host.placed).toEqual(['anywhere', 'later', 'pinned', 'retried']);
  });

  it('refuses at the door when all are over their busy thresholds, but who is inside waits', async () => {
    const { host, queue, schedule, fill, settle } = setUp();
    await fill();
    const inside = schedule('inside');
    host.prefillDone('fill-1');
    host.change(1n, { overloaded: true });
    await expect(schedule('door')).rejects.toMatchObject({ code: 'capacity.pool_exhausted' });
    queue.capacityChanged();
    await settle();
    expect(queue.size).toBe(1);
    host.change(1n, { overloaded: false });
    queue.capacityChanged();
    await expect(inside).resolves.toMatchObject({ instanceId: 1n });
  });

  it('lets nobody wait for workers that do not exist', async () => {
    const { schedule } = setUp({ instances: 0 });
    await expect(schedule('a')).rejects.toMatchObject({ code: 'capacity.pool_exhausted' });
  });

  it('refuses what waits when it closes', async () => {
    const { queue, schedule, fill } = setUp();
    await fill();
    const waiting = schedule('a');
    await queue.close();
    await expect(waiting).rejects.toMatchObject({ code: 'runtime.closed' });
    await queue.close();
  });
});

const classOf = (name: string, fields: Partial<PolicyClass> = {}): PolicyClass => ({
  name,
  queuePolicy: 'fcfs',
  quantum: 1000,
  prefillBusyThresholdFrac: 1,
  busyWorkerRatio: 1,
  ...fields,
});

/** Two explicit classes besides the default one. */
function twoClasses(heavy: Partial<PolicyClass>, light: Partial<PolicyClass>): PolicyProfile {
  const base = defaultProfile({ thresholdFrac: 1 });
  return { ...base, classes: [...base.classes, classOf('heavy', heavy), classOf('light', light)] };
}

describe('SchedulerQueue with classes', () => {
  it('shares turns by quantum, counted in uncached tokens', async () => {
    const profile = twoClasses({ quantum: 3000 }, { quantum: 1000 });
    const { host, schedule, fill, drainOneByOne } = setUp({ profile });
    await fill();
    for (let index = 0; index < 12; index++) {
      host.cached.set(`light-${index}`, 1500);
      for (const policyClass of ['heavy', 'light'])
        void schedule(`${policyClass}-${index}`, { policyClass, promptTokens: 3000 });
    }
    const order = await drainOneByOne();
    // 3000 tokens are one turn of the heavy class, and 1500 one and a half of the light one.
    const rounds = 'h0 h1 l0 h2 l1 h3 h4 l2 h5 l3 h6 h7 l4 h8 l5';
    const names = order.map((id) => id.replace(/(heavy|light)-/, (name) => name.slice(0, 1)));
    expect(names.slice(0, 15).join(' ')).toBe(rounds);
    expect(new Set(names).size).toBe(24);
  });

  it('serves every class in proportion to its quantum and starves none, whatever the prompts', async () => {
    const sizes = fc.array(fc.integer({ min: 1001, max: 9000 }), { minLength: 30, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 5 }), async (prompts, weight) => {
        const profile = twoClasses({ quantum: weight * 700 }, { quantum: 700 });
        const { schedule, fill, drainOneByOne } = setUp({ profile, maxWaitMs: 0 });
        await fill();
        for (const [index, promptTokens] of prompts.entries())
          for (const policyClass of ['heavy', 'light'])
            void schedule(`${policyClass}-${index}`, { policyClass, promptTokens });
        const order = await drainOneByOne();
        expect(new Set(order).size).toBe(60);
        // While both wait, neither gets further ahead of its share than one turn and one prompt.
        const tokens = { heavy: 0, light: 0 };
        const left = { heavy: 30, light: 30 };
        for (const id of order) {
          const name = id.startsWith('heavy') ? 'heavy' : 'light';
          tokens[name] += prompts[Number(id.slice(6))] ?? 0;
          left[name] -= 1;
          if (left.heavy === 0 || left.light === 0) break;
          expect(Math.abs(tokens.heavy / weight - tokens.light)).toBeLessThan(9000 * 2 + 700 * 2);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('lets the parts of a class share its turns evenly', async () => {
    const flowOf = ({ bookingId }: PlacementRequest): string => bookingId.slice(0, 1);
    const { schedule, fill, drainOneByOne } = setUp({ flowOf });
    await fill();
    for (let index = 0; index < 6; index++) void schedule(`a${index}`, big);
    for (let index = 0; index < 2; index++) void schedule(`b${index}`, big);
    const order = await drainOneByOne();
    expect(order.slice(0, 4).sort()).toEqual(['a0', 'a1', 'b0', 'b1']);
  });

  it('holds limits per worker: what reaches one is taken, the next is refused (RP 14.5)', async () => {
    const profile = twoClasses({ requestLimitPerWorker: 2 }, { islTokenLimitPerWorker: 1000 });
    const { schedule, fill } = setUp({ instances: 2, profile });
    await fill();
    const waiting: Promise<Placement>[] = [];
    for (let index = 0; index < 4; index++)
      waiting.push(schedule(`h${index}`, { policyClass: 'heavy' }));
    await expect(schedule('h4', { policyClass: 'heavy' })).rejects.toMatchObject({
      code: 'capacity.queue_full',
      info: { http: 529 },
    });
    void schedule('l0', { policyClass: 'light', promptTokens: 1999 });
    void schedule('l1', { policyClass: 'light', promptTokens: 500 });
    await expect(schedule('l2', { policyClass: 'light' })).rejects.toMatchObject({
      code: 'capacity.queue_full',
    });
    await expect(Promise.race([...waiting, Promise.resolve('waits')])).resolves.toBe('waits');
  });

  it('lets a class wait when only a share of the workers is busy', async () => {
    const profile = twoClasses({ busyWorkerRatio: 0.5 }, {});
    const { queue, schedule } = setUp({ instances: 4, profile });
    for (const id of [1n, 2n]) await schedule(`f${id}`, { ...big, pinned: asInstanceId(id) });
    await schedule('light', { policyClass: 'light' });
    void schedule('heavy', { policyClass: 'heavy' });
    expect(queue.stats().map(({ pendingCount }) => pendingCount)).toEqual([0, 1, 0]);
  });

  it('looks at the caches again when the last look is old', async () => {
    const profile = defaultProfile({ thresholdFrac: 1, queuePolicy: 'wspt' });
    const { host, clock, queue, schedule, fill, drainOneByOne } = setUp({
      profile,
      refreshAfterMs: 5000,
    });
    await fill();
    host.cached.set('forgotten', 7900);
    void schedule('forgotten', { promptTokens: 8000 });
    void schedule('cold', { promptTokens: 4000 });
    host.cached.clear();
    await clock.advance(6000);
    expect(await drainOneByOne()).toEqual(['cold', 'forgotten']);
    expect(queue.stats()[0]).toMatchObject({ pendingCachedTokens: 0 });
  });
});
