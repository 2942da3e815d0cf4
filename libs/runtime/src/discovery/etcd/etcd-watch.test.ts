import { EventEmitter } from 'node:events';

import { TaskGroup } from '@dynamo-ts/base';
import { nullLogger } from '@dynamo-ts/telemetry';
import { FakeClock } from '@dynamo-ts/testing';
import type { Etcd3 } from 'etcd3';
import { describe, expect, it } from 'vitest';

import { RecordView } from '../record-view.ts';
import { EtcdHealth } from './etcd-health.ts';
import { EtcdWatch } from './etcd-watch.ts';

const GRACE_MS = 10_000;

/** An etcd that a test cuts off; its clock and its leases are the test's. */
class CutEtcd {
  readonly keys = new Set<string>();
  #isCut = false;
  #revision = 1;
  #stream: EventEmitter | undefined;

  get client(): Etcd3 {
    const client = {
      kv: { range: () => this.#range() },
      watchClient: { watch: () => this.#watch() },
    };
    return client as unknown as Etcd3; // what a watch uses of it
  }

  cut(): void {
    this.#isCut = true;
    this.#stream?.emit('error', new Error('cut'));
  }

  heal(): void {
    this.#isCut = false;
  }

  put(key: string): void {
    this.keys.add(key);
    this.#revision += 1;
    const kv = { key: Buffer.from(key), value: Buffer.from('{}') };
    this.#stream?.emit('data', { header: this.#header, events: [{ type: 'Put', kv }] });
  }

  get #header() {
    return { cluster_id: '1', revision: String(this.#revision) };
  }

  async #range() {
    if (this.#isCut) throw new Error('cut');
    const kvs = [...this.keys].map((key) => ({ key: Buffer.from(key), value: Buffer.from('{}') }));
    return Promise.resolve({ header: this.#header, kvs });
  }

  async #watch() {
    if (this.#isCut) throw new Error('cut');
    const nothing = (): void => undefined;
    this.#stream = Object.assign(new EventEmitter(), {
      write: nothing,
      end: nothing,
      cancel: nothing,
    });
    return Promise.resolve(this.#stream);
  }
}

async function setUp() {
  const etcd = new CutEtcd();
  etcd.keys.add('v1/dead').add('v1/living');
  const { client } = etcd;
  const clock = new FakeClock();
  const view = new RecordView();
  const tasks = new TaskGroup({ name: 'test', onError: () => undefined });
  const health = new EtcdHealth({
    probe: () => client.kv.range({ key: Buffer.of(0) }),
    tasks,
    clock,
    logger: nullLogger,
    onRecovery: () => undefined,
  });
  const watch = new EtcdWatch({
    client,
    prefix: 'v1/',
    view,
    health,
    clock,
    graceMs: GRACE_MS,
    onResync: () => undefined,
  });
  tasks.start('watch', (signal) => watch.run(signal));
  const keys = (): readonly string[] => [...view.keys()].sort();
  /** Away for a second, and back. */
  const outage = async (): Promise<void> => {
    etcd.cut();
    await clock.advance(1000);
    expect(health.state).toBe('disconnected');
    etcd.heal();
    for (let steps = 0; health.state === 'disconnected' && steps < 100; steps += 1)
      await clock.advance(100);
  };
  await clock.advance(1000);
  expect(keys()).toEqual(['v1/dead', 'v1/living']);
  return { etcd, clock, keys, outage, tasks };
}

describe('EtcdWatch', () => {
  it('lets what is missing go one grace time after the last return of etcd', async () => {
    const { etcd, clock, keys, outage, tasks } = await setUp();
    etcd.keys.clear();
    await outage();
    await clock.advance(GRACE_MS - 2000);
    await outage();
    // The time that the first outage left is over.
    await clock.advance(GRACE_MS - 1000);
    expect(keys()).toEqual(['v1/dead', 'v1/living']);
    etcd.put('v1/living');
    await clock.advance(GRACE_MS);
    expect(keys()).toEqual(['v1/living']);
    await tasks.close();
    expect(clock.sleeping).toBe(0);
  });

  it('lets go of nothing while etcd is away', async () => {
    const { etcd, clock, keys, outage, tasks } = await setUp();
    etcd.keys.clear();
    await outage();
    etcd.cut();
    await clock.advance(5 * GRACE_MS);
    expect(keys()).toEqual(['v1/dead', 'v1/living']);
    etcd.heal();
    await clock.advance(3 * GRACE_MS);
    expect(keys()).toEqual([]);
    await tasks.close();
    expect(clock.sleeping).toBe(0);
  });
});
