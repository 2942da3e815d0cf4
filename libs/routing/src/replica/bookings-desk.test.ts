import { asInstanceId } from '@dynamo-ts/base';
import { PlacementCore } from '@dynamo-ts/kv';
import { createLocalPlanes, DistributedRuntime } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it, vi } from 'vitest';

import { KV_ROUTER_DEFAULTS } from '../kv/kv-router-settings.ts';
import { BookingsDesk } from './bookings-desk.ts';
import { ReplicaSync } from './replica-sync.ts';

const path = { namespace: 'test', component: 'backend', endpoint: 'generate' };
const endpoint = 'test.backend.generate';
const worker = asInstanceId(1n);

/** Processes on shared planes, each with a desk, and the sharing routers that were opened in them. */
class Processes implements AsyncDisposable {
  readonly #planes = createLocalPlanes();
  readonly #closing: (() => Promise<void>)[] = [];

  async start() {
    const runtime = await DistributedRuntime.connect({ ...this.#planes, logger: nullLogger });
    this.#closing.push(() => runtime.close());
    const desk = new BookingsDesk({ runtime, logger: nullLogger });
    const metrics = new MetricsRegistry();
    return {
      desk,
      metrics,
      open: async (blockSize: number) => {
        const core = new PlacementCore({
          ...KV_ROUTER_DEFAULTS,
          useKvEvents: false,
          blockSize,
          endpoint,
          routerId: runtime.instanceId,
          seed: 1n,
        });
        const facts = { totalKvBlocks: 1000, maxBatchedTokens: 8192, kvEvents: false, taints: [] };
        core.setWorker({ workerId: worker, dpStart: 0, dpSize: 1, ...facts });
        const options = { runtime, path, blockSize, core, desk, metrics, logger: nullLogger };
        const sync = new ReplicaSync(options);
        this.#closing.push(async () => {
          await sync.close();
          await core.close();
        });
        sync.start();
        return { sync, requests: () => core.loads().activeRequests[0] ?? 0 };
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closing.toReversed()) await close();
    await this.#planes.close();
  }
}

const booking = (bookingId: string) => ({
  bookingId,
  instanceId: worker,
  dpRank: 0,
  blockHashes: BigUint64Array.of(1n, 2n),
  islTokens: 200,
  prefillTokens: 200,
});

describe('routers of one endpoint whose blocks differ', () => {
  it('tell a process that comes late what each of them has booked', async () => {
    await using processes = new Processes();
    const first = await processes.start();
    for (const [at, size] of [16, 64, 128].entries()) {
      const { sync } = await first.open(size);
      await sync.ready();
      for (let count = 0; count <= at; count += 1) sync.added(booking(`r${count}`));
    }
    const late = await processes.start();
    const routers = [await late.open(16), await late.open(64), await late.open(128)];
    await vi.waitFor(() => expect(routers.map(({ requests }) => requests())).toEqual([1, 2, 3]));
    const text = await late.metrics.text();
    expect(text).toMatch(/replica_remote_bookings\{[^}]*\} 6$/m);
    expect(text).toMatch(/replica_peers\{[^}]*\} 3$/m);
    expect(text).not.toMatch(/reason="failed"\} [1-9]/);
    expect(text).not.toMatch(/outcome="refused"\} [1-9]/);
  });

  it('hear of what a router had booked that opened after they asked', async () => {
    await using processes = new Processes();
    const [one, other] = [await processes.start(), await processes.start()];
    const small = [await one.open(16), await other.open(16)];
    const large = await one.open(64);
    for (const { sync } of [...small, large]) await sync.ready();
    await vi.waitFor(() => expect(large.sync.remote.routers).toBe(1));
    const late = await other.open(64);
    // Before it knows of anybody to whom it could be told.
    late.sync.added(booking('early'));
    await vi.waitFor(() => expect(large.requests()).toBe(1), 5000);
    late.sync.added(booking('later'));
    await vi.waitFor(() => expect(large.requests()).toBe(2));
    expect(small.map(({ requests }) => requests())).toEqual([0, 0]);
    await late.sync.close();
    await vi.waitFor(() => expect(large.requests()).toBe(0));
    expect(await other.metrics.text()).toMatch(/replica_peers\{[^}]*\} 1$/m);
    expect(one.desk.counts(endpoint, 64)).toBe(true);
    expect(other.desk.counts(endpoint, 64)).toBe(false);
  });

  it('go on answering when the one that was first has left', async () => {
    await using processes = new Processes();
    const first = await processes.start();
    const [small, large] = [await first.open(16), await first.open(64)];
    await large.sync.ready();
    large.sync.added(booking('r'));
    await small.sync.close();
    const late = await (await processes.start()).open(64);
    await vi.waitFor(() => expect(late.requests()).toBe(1));
  });
});
