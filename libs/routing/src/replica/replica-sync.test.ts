import { describe, expect, it, vi } from 'vitest';

import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { PlacementCore } from '@dynamo-ts/kv';
import { ActiveSequenceBatch, EndpointInstance, instanceKey } from '@dynamo-ts/protocol';
import { DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { EventPlane, Planes } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';

import { KV_ROUTER_DEFAULTS } from '../kv/kv-router-settings.ts';
import { ReplicaSync } from './replica-sync.ts';
import type { ReplicaSyncOptions } from './replica-sync.ts';

const path = { namespace: 'test', component: 'backend', endpoint: 'generate' };
const topic = { scope: { namespace: 'test', component: 'backend' }, topic: 'active_sequences' };
const [one, two] = [asInstanceId(1n), asInstanceId(2n)];
const BLOCK_SIZE = 16;

/** One router's part: a core that knows workers, and its sharing. */
interface TestRouter {
  readonly runtime: DistributedRuntime;
  readonly core: PlacementCore;
  readonly sync: ReplicaSync;
  readonly metrics: MetricsRegistry;
  readonly onRemoteChange: ReturnType<typeof vi.fn>;
}

class TestRouters implements AsyncDisposable {
  readonly planes: Planes = createLocalPlanes();
  readonly #opened: TestRouter[] = [];

  async add(
    options: Partial<ReplicaSyncOptions> = {},
    workers: readonly InstanceId[] = [one, two],
    events: EventPlane = this.planes.events,
  ): Promise<TestRouter> {
    const planes = { ...this.planes, events };
    const runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
    const core = new PlacementCore({
      ...KV_ROUTER_DEFAULTS,
      useKvEvents: false,
      blockSize: BLOCK_SIZE,
      endpoint: 'test.backend.generate',
      routerId: runtime.instanceId,
      seed: 1n,
    });
    for (const worker of workers) addWorker(core, worker);
    const metrics = new MetricsRegistry();
    const onRemoteChange = vi.fn();
    const sync = new ReplicaSync({
      runtime,
      path,
      blockSize: BLOCK_SIZE,
      core,
      onRemoteChange,
      metrics,
      logger: nullLogger,
      ...options,
    });
    sync.start();
    await sync.ready();
    const router = { runtime, core, sync, metrics, onRemoteChange };
    this.#opened.push(router);
    return router;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { sync, runtime, core } of this.#opened) {
      await sync.close();
      await runtime.close();
      await core.close();
    }
    await this.planes.close();
  }
}

/** The same events, of which some are lost on their way to the subscriber. */
function lossy(events: EventPlane, loss: { dropped: number; isOn: boolean }): EventPlane {
  return {
    backend: events.backend,
    publisher: (of, publisherId) => events.publisher(of, publisherId),
    subscribe: (of, options) => {
      const all = events.subscribe(of, options);
      return {
        ready: (waiting) => all.ready(waiting),
        onRenewed: (listener) => all.onRenewed(listener),
        async *[Symbol.asyncIterator]() {
          for await (const event of all) {
            if (loss.isOn) loss.dropped += 1;
            else yield event;
          }
        },
      };
    },
    close: () => events.close(),
    [Symbol.asyncDispose]: () => events.close(),
  };
}

function addWorker(core: PlacementCore, workerId: InstanceId): void {
  const facts = { totalKvBlocks: 1000, maxBatchedTokens: 8192, kvEvents: false, taints: [] };
  core.setWorker({ workerId, dpStart: 0, dpSize: 1, ...facts });
}

const booking = (bookingId: string, instanceId = one, blocks = 4) => ({
  bookingId,
  instanceId,
  dpRank: 0,
  blockHashes: BigUint64Array.from({ length: blocks }, (_, index) => BigInt(index + 1)),
  islTokens: blocks * BLOCK_SIZE + 3,
  prefillTokens: 64,
});

/** Prefill tokens and decode blocks of a worker. */
function loadOf({ core }: TestRouter, workerId: InstanceId = one): readonly number[] {
  const { workerIds, prefillTokens, decodeBlocks, activeRequests } = core.loads();
  const index = workerIds.indexOf(workerId);
  return [prefillTokens[index] ?? 0, decodeBlocks[index] ?? 0, activeRequests[index] ?? 0];
}

async function expectLoad(
  router: TestRouter,
  load: readonly number[],
  workerId: InstanceId = one,
): Promise<void> {
  await vi.waitFor(
    () => {
      expect(loadOf(router, workerId)).toEqual(load);
    },
    { timeout: 5000 },
  );
}

describe('ReplicaSync', () => {
  it('counts what another router books, until its first token and until its end', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const b = await routers.add();
    a.sync.added(booking('r1'));
    await expectLoad(b, [64, 5, 1]);
    expect(b.onRemoteChange).toHaveBeenCalled();
    a.sync.prefillDone('r1');
    a.sync.prefillDone('r1');
    await expectLoad(b, [0, 5, 1]);
    a.sync.freed('r1');
    a.sync.freed('r1');
    await expectLoad(b, [0, 0, 0]);
    expect(loadOf(a)).toEqual([0, 0, 0]);
  });

  it('counts blocks that own and other requests share once, and takes their prompts as cached', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const b = await routers.add();
    a.sync.added(booking('r1'));
    a.sync.added(booking('r2'));
    await expectLoad(b, [128, 6, 2]);
    const { blockHashes } = booking('any');
    expect(b.core.overlap({ blockHashes }).blocks[0]).toBe(4);
  });

  it('says nothing while it is alone, and everything to a router that comes late', async () => {
    await using routers = new TestRouters();
    const heard = vi.fn();
    const stop = new AbortController();
    const listening = (async () => {
      for await (const event of routers.planes.events.subscribe(topic, { signal: stop.signal }))
        heard(event);
    })();
    const a = await routers.add();
    a.sync.added(booking('running'));
    a.sync.added(booking('answering'));
    a.sync.prefillDone('answering');
    a.sync.added(booking('gone'));
    a.sync.freed('gone');
    const b = await routers.add();
    await expectLoad(b, [64, 6, 2]);
    expect(heard).not.toHaveBeenCalled();
    a.sync.freed('running');
    await expectLoad(b, [0, 5, 1]);
    expect(heard).toHaveBeenCalled();
    stop.abort();
    await listening;
  });

  it('sends a burst together, and never more than 256 events', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const b = await routers.add();
    const sizes: number[] = [];
    const stop = new AbortController();
    const listening = (async () => {
      const options = { signal: stop.signal };
      for await (const { payload } of routers.planes.events.subscribe(topic, options))
        sizes.push(ActiveSequenceBatch.decode(payload).events.length);
    })();
    for (let index = 0; index < 600; index++) a.sync.added(booking(`r${index}`, one, 1));
    await expectLoad(b, [600 * 64, 601, 600]);
    expect(sizes).toEqual([256, 256, 88]);
    stop.abort();
    await listening;
  });

  it('drops the bookings of a router that left', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const b = await routers.add();
    const c = await routers.add();
    a.sync.added(booking('r1'));
    b.sync.added(booking('r1', two));
    await expectLoad(c, [64, 5, 1]);
    await expectLoad(c, [64, 5, 1], two);
    expect(c.sync.remote).toEqual({ routers: 2, bookings: 2 });
    await a.runtime.close();
    await expectLoad(c, [0, 0, 0]);
    await expectLoad(b, [0, 0, 0]);
    expect(loadOf(c, two)).toEqual([64, 5, 1]);
    expect(c.sync.remote).toEqual({ routers: 1, bookings: 1 });
  });

  it('drops them at once when a router cannot be reached, and takes them back when it can', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const b = await routers.add();
    a.sync.added(booking('r1'));
    await expectLoad(b, [64, 5, 1]);
    // Its endpoint breaks while discovery still shows it.
    const [query] = a.runtime.served();
    const { instance, path: queryPath } = query ?? expect.fail('nothing is served');
    const key = instanceKey(queryPath, instance.instanceId);
    const value = new TextEncoder().encode(JSON.stringify(EndpointInstance.toJSON(instance)));
    await b.runtime.discovery.register({ key, value });
    await query?.close();
    await expectLoad(b, [0, 0, 0]);
    expect(b.sync.remote).toEqual({ routers: 1, bookings: 0 });
  });

  it('asks for everything when events were lost', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const loss = { dropped: 0, isOn: false };
    const b = await routers.add({}, [one, two], lossy(routers.planes.events, loss));
    a.sync.added(booking('r1'));
    a.sync.added(booking('r2', two));
    await expectLoad(b, [64, 5, 1], two);
    loss.isOn = true;
    a.sync.freed('r1');
    await vi.waitFor(() => {
      expect(loss.dropped).toBe(1);
    });
    loss.isOn = false;
    expect(loadOf(b)).toEqual([64, 5, 1]);
    a.sync.added(booking('r3', two));
    await expectLoad(b, [0, 0, 0]);
    await expectLoad(b, [128, 6, 2], two);
    expect(await b.metrics.text()).toMatch(/replica_resyncs_total\{[^}]*reason="gap"\} [1-9]/);
  });

  it('counts a booking on a worker that becomes known later', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const b = await routers.add({}, [one]);
    a.sync.added(booking('r1', two));
    a.sync.added(booking('r2', two));
    a.sync.prefillDone('r1');
    a.sync.freed('r2');
    a.sync.added(booking('marker'));
    await expectLoad(b, [64, 5, 1]);
    addWorker(b.core, two);
    await expectLoad(b, [0, 5, 1], two);
  });

  it('forgets what the core dropped by itself', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const b = await routers.add();
    a.sync.added(booking('r1'));
    await expectLoad(b, [64, 5, 1]);
    b.sync.forgotten(b.core.removeWorker(one));
    expect(b.sync.remote.bookings).toBe(0);
    // Its own booking that expired is not another router's any more, either.
    a.sync.added(booking('r2', two));
    await expectLoad(b, [64, 5, 1], two);
    a.sync.forgotten(['r2']);
    await expectLoad(b, [0, 0, 0], two);
  });

  it('drops and counts what a router with another stride or block size says', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const stride = await routers.add({ stride: 2 });
    const blocks = await routers.add({ blockSize: 32 });
    await vi.waitFor(() => {
      expect(a.sync.remote.routers).toBe(2);
    });
    stride.sync.added(booking('r1'));
    blocks.sync.added(booking('r2'));
    await vi.waitFor(async () => {
      const text = await a.metrics.text();
      expect(text).toMatch(/stride_mismatches_total\{[^}]*\} 1\n/);
      expect(text).toMatch(/replica_events_total\{[^}]*outcome="refused"\} 2\n/);
    });
    expect(loadOf(a)).toEqual([0, 0, 0]);
  });

  it('takes over from a router of the same process that is still closing', async () => {
    await using routers = new TestRouters();
    const peer = await routers.add();
    const old = await routers.add();
    const { runtime, core } = old;
    const shared = { runtime, path, blockSize: BLOCK_SIZE, core, logger: nullLogger };
    await using next = new ReplicaSync(shared);
    next.start();
    await new Promise((resolve) => setImmediate(resolve));
    await old.sync.close();
    await vi.waitFor(() => expect(next.remote.routers).toBe(1), { timeout: 5000 });
    await vi.waitFor(() => expect(peer.sync.remote.routers).toBe(1), { timeout: 5000 });
    next.added(booking('r1'));
    await expectLoad(peer, [64, 5, 1]);
  });

  it('moves a booking that is made again elsewhere although its end was lost', async () => {
    await using routers = new TestRouters();
    const loss = { dropped: 0, isOn: false };
    const a = await routers.add();
    const b = await routers.add({}, [one, two], lossy(routers.planes.events, loss));
    a.sync.added(booking('r1'));
    await expectLoad(b, [64, 5, 1]);
    loss.isOn = true;
    a.sync.freed('r1');
    await vi.waitFor(() => expect(loss.dropped).toBe(1));
    loss.isOn = false;
    a.sync.added(booking('r1', two));
    await expectLoad(b, [64, 5, 1], two);
    await expectLoad(b, [0, 0, 0]);
  });

  it('ignores what it cannot read', async () => {
    await using routers = new TestRouters();
    const a = await routers.add();
    const publisher = await routers.planes.events.publisher(topic, 77n);
    publisher.publish(Uint8Array.of(255, 255, 255));
    await vi.waitFor(async () => {
      expect(await a.metrics.text()).toMatch(/outcome="refused"\} 1\n/);
    });
    expect(a.sync.remote).toEqual({ routers: 0, bookings: 0 });
    await publisher.close();
  });
});
