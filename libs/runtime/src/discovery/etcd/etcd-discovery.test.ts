import { SeverableProxy, etcdProvider, eventually, freePort } from '@dynamo-ts/testing';
import type { Broker } from '@dynamo-ts/testing';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import type { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { WatchRecorder, describeDiscoveryContract, encode, listed } from '../discovery.contract.ts';
import { createEtcdClient } from './etcd-client.ts';
import { EtcdDiscovery } from './etcd-discovery.ts';
import type { EtcdDiscoveryOptions } from './etcd-discovery.ts';

const etcd = await etcdProvider();

/** etcd grants no shorter leases. */
const TTL_SECONDS = 2;

function connect(address: string, options: Partial<EtcdDiscoveryOptions> = {}): EtcdDiscovery {
  return new EtcdDiscovery({
    settings: { endpoints: [`http://${address}`] },
    leaseTtlSeconds: TTL_SECONDS,
    logger: nullLogger,
    ...options,
  });
}

describe.skipIf(!etcd.available)(etcd.label, { timeout: 60_000 }, () => {
  describeDiscoveryContract('etcd discovery', async () => {
    const broker = await etcd.start();
    const admin = createEtcdClient({ endpoints: [broker.address] });
    return {
      connect: () => connect(broker.address),
      corrupt: async (key, value) => {
        await admin.put(key).value(Buffer.from(value));
      },
      [Symbol.asyncDispose]: async () => {
        admin.close();
        await broker.close();
      },
    };
  });

  describe('EtcdDiscovery', () => {
    let broker: Broker;
    let admin: Etcd3;
    let prefix = '';
    let testNumber = 0;
    beforeAll(async () => {
      broker = await etcd.start();
      admin = createEtcdClient({ endpoints: [broker.address] });
    }, 120_000);
    afterAll(async () => {
      admin.close();
      await broker.close();
    });
    const test = (title: string, run: () => Promise<void>): void => {
      it(title, { timeout: 60_000 }, async () => {
        testNumber += 1;
        prefix = `v1/etcd/test-${testNumber}/`;
        await run();
      });
    };
    const leaseOf = async (key: string): Promise<string | undefined> => {
      const { kvs } = await admin.get(key).exec();
      return kvs[0]?.lease;
    };

    test('survives a kill and restart of etcd with its data: nothing is reported gone', async () => {
      await using writer = connect(broker.address);
      await using reader = connect(broker.address);
      await writer.register({ key: `${prefix}1`, value: encode(1) });
      const recorder = new WatchRecorder(reader, prefix);
      await recorder.reaches({ [`${prefix}1`]: 1 });
      await broker.kill();
      await eventually(() => reader.state === 'disconnected' && writer.state === 'disconnected');
      await expect(reader.list(prefix)).rejects.toMatchObject({ code: 'discovery.unavailable' });
      const registering = writer.register({ key: `${prefix}2`, value: encode(2) });
      await broker.start();
      await registering;
      await recorder.reaches({ [`${prefix}1`]: 1, [`${prefix}2`]: 2 });
      await eventually(() => reader.state === 'connected' && writer.state === 'connected');
      expect(recorder.events.filter((event) => event.kind === 'delete')).toEqual([]);
      await recorder.stop();
    });

    test('keeps what is known while etcd is away; after its return the dead go within one TTL, the living never', async () => {
      const leaseTtlSeconds = 3;
      await using living = connect(broker.address, { leaseTtlSeconds });
      await using reader = connect(broker.address);
      const dying = connect(broker.address, { leaseTtlSeconds });
      await living.register({ key: `${prefix}living`, value: encode(1) });
      await dying.register({ key: `${prefix}dying`, value: encode(2) });
      const recorder = new WatchRecorder(reader, prefix);
      await recorder.reaches({ [`${prefix}living`]: 1, [`${prefix}dying`]: 2 });
      await broker.kill();
      await dying.abandon();
      // Longer than the lease: nobody can say that it has ended.
      await new Promise((resolve) => setTimeout(resolve, (leaseTtlSeconds + 1) * 1000));
      expect(recorder.events.filter((event) => event.kind === 'delete')).toEqual([]);
      await broker.start();
      const returnedMs = performance.now();
      await recorder.reaches({ [`${prefix}living`]: 1 });
      // Leases begin anew with etcd's leader, who is elected first.
      expect(performance.now() - returnedMs).toBeLessThan(leaseTtlSeconds * 1000 + 5000);
      expect(recorder.events.filter((event) => event.kind === 'delete')).toEqual([
        { kind: 'delete', key: `${prefix}dying` },
      ]);
      await recorder.stop();
    });

    test('spares the living when leases end behind a cut network; the dead go after one TTL', async () => {
      const proxy = await SeverableProxy.listen();
      proxy.pointAt(Number(broker.address.split(':').at(-1)));
      const address = `127.0.0.1:${proxy.port}`;
      await using living = connect(address);
      // It writes nothing, so that it has no lease that tells it of the cut.
      await using reader = connect(address);
      const dying = connect(address);
      await living.register({ key: `${prefix}living`, value: encode(1) });
      await dying.register({ key: `${prefix}dying`, value: encode(2) });
      const recorder = new WatchRecorder(reader, prefix);
      await recorder.reaches({ [`${prefix}living`]: 1, [`${prefix}dying`]: 2 });
      proxy.silence();
      await eventually(async () => (await leaseOf(`${prefix}living`)) === undefined, {
        timeoutMs: 20_000,
      });
      await dying.abandon();
      proxy.unsilence();
      await eventually(async () => (await leaseOf(`${prefix}living`)) !== undefined);
      await recorder.reaches({ [`${prefix}living`]: 1 });
      expect(recorder.events.filter((event) => event.kind === 'delete')).toEqual([
        { kind: 'delete', key: `${prefix}dying` },
      ]);
      await recorder.stop();
      await proxy.close();
    });

    test('puts records back when the data of etcd is wiped, and watchers see only the dead go', async () => {
      const metrics = new MetricsRegistry();
      await using writer = connect(broker.address, { metrics });
      await using reader = connect(broker.address, { metrics });
      const dead = connect(broker.address);
      await writer.register({ key: `${prefix}live`, value: encode(1) });
      await dead.register({ key: `${prefix}dead`, value: encode(0) });
      // Raises the revision well above what the empty etcd will reach.
      for (let index = 0; index < 50; index += 1) await admin.put(`${prefix}x`).value('{}');
      await admin.delete().key(`${prefix}x`);
      const recorder = new WatchRecorder(reader, prefix);
      await recorder.reaches({ [`${prefix}live`]: 1, [`${prefix}dead`]: 0 });
      await dead.abandon();
      await broker.kill();
      await broker.wipe();
      await broker.start();
      await eventually(async () => (await leaseOf(`${prefix}live`)) !== undefined);
      await recorder.reaches({ [`${prefix}live`]: 1 });
      await writer.register({ key: `${prefix}new`, value: encode(2) });
      await recorder.reaches({ [`${prefix}live`]: 1, [`${prefix}new`]: 2 });
      expect(recorder.events.filter((event) => event.kind === 'delete')).toEqual([
        { kind: 'delete', key: `${prefix}dead` },
      ]);
      expect(await metrics.text()).toMatch(
        /dynamo_discovery_lease_losses_total\{backend="etcd"\} 1/,
      );
      await recorder.stop();
    });

    test('takes a new lease and puts its records back when the lease is revoked from outside', async () => {
      await using writer = connect(broker.address);
      await using reader = connect(broker.address);
      await writer.register({ key: `${prefix}1`, value: encode(1) });
      const recorder = new WatchRecorder(reader, prefix);
      await recorder.reaches({ [`${prefix}1`]: 1 });
      const lease = await leaseOf(`${prefix}1`);
      await admin.leaseClient.leaseRevoke({ ID: lease ?? '' });
      await recorder.reaches({});
      await recorder.reaches({ [`${prefix}1`]: 1 });
      expect(await leaseOf(`${prefix}1`)).not.toBe(lease);
      const late = await writer.register({ key: `${prefix}2`, value: encode(2) });
      await recorder.reaches({ [`${prefix}1`]: 1, [`${prefix}2`]: 2 });
      await late.close();
      await recorder.reaches({ [`${prefix}1`]: 1 });
      await recorder.stop();
    });

    test('converges after etcd was frozen for longer than the TTL', async () => {
      await using writer = connect(broker.address);
      await using reader = connect(broker.address);
      await writer.register({ key: `${prefix}1`, value: encode(1) });
      const recorder = new WatchRecorder(reader, prefix);
      await recorder.reaches({ [`${prefix}1`]: 1 });
      await broker.pause();
      await eventually(() => writer.state === 'disconnected');
      await broker.resume();
      await writer.register({ key: `${prefix}2`, value: encode(2) });
      await recorder.reaches({ [`${prefix}1`]: 1, [`${prefix}2`]: 2 });
      await recorder.stop();
    });

    test('keeps its lease while the event loop is frozen for 15 s', async () => {
      await using writer = connect(broker.address, { leaseTtlSeconds: 5 });
      await writer.register({ key: `${prefix}1`, value: encode(1) });
      const before = (await admin.get(`${prefix}1`).exec()).kvs[0];
      const frozenUntilMs = performance.now() + 15_000;
      while (performance.now() < frozenUntilMs);
      const after = (await admin.get(`${prefix}1`).exec()).kvs[0];
      expect(after?.lease).toBe(before?.lease);
      expect(after?.create_revision).toBe(before?.create_revision);
    });

    test('forgets a crashed process with its lease and a closed one at once', async () => {
      const crashing = connect(broker.address);
      const closing = connect(broker.address, { leaseTtlSeconds: 60 });
      await using reader = connect(broker.address);
      await crashing.register({ key: `${prefix}crashing`, value: encode(1) });
      await closing.register({ key: `${prefix}closing`, value: encode(2) });
      await closing.close();
      expect(await listed(reader, prefix)).toEqual({ [`${prefix}crashing`]: 1 });
      const recorder = new WatchRecorder(reader, prefix);
      await recorder.reaches({ [`${prefix}crashing`]: 1 });
      await crashing.abandon();
      await recorder.reaches({});
      await recorder.stop();
    });

    test('does not remove a record that another process has taken over', async () => {
      await using first = connect(broker.address);
      await using second = connect(broker.address);
      const old = await first.register({ key: `${prefix}1`, value: encode('first') });
      await second.register({ key: `${prefix}1`, value: encode('second') });
      await old.close();
      expect(await listed(second, prefix)).toEqual({ [`${prefix}1`]: 'second' });
    });

    test('watches on after its revision was compacted away', async () => {
      await using reader = connect(broker.address);
      const recorder = new WatchRecorder(reader, prefix);
      await eventually(() => recorder.isReady);
      await broker.pause();
      await broker.resume();
      const { header } = await admin.put(`${prefix}1`).value('1');
      await admin.kv.compact({ revision: header.revision });
      await admin.put(`${prefix}2`).value('2');
      await recorder.reaches({ [`${prefix}1`]: 1, [`${prefix}2`]: 2 });
      await recorder.stop();
    });
  });

  it('starts while etcd is away, and works when it comes', async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const warnings: string[] = [];
    const logger = { ...nullLogger, warn: (message: string) => warnings.push(message) };
    await using alone = connect(address, { logger: { ...logger, child: () => logger } });
    await expect(alone.list('v1/')).rejects.toMatchObject({ code: 'discovery.unavailable' });
    await expect(
      alone.register({ key: 'v1/a/1', value: encode(1) }, { signal: AbortSignal.timeout(300) }),
    ).rejects.toMatchObject({ code: 'request.deadline_exceeded' });
    expect(warnings).toEqual(['etcd cannot be reached; trying again until it answers']);

    const broker = await etcd.start();
    await broker.kill();
    await using early = connect(broker.address);
    const recorder = new WatchRecorder(early, 'v1/a/');
    const registering = early.register({ key: 'v1/a/1', value: encode(1) });
    await eventually(() => early.state === 'disconnected');
    expect(recorder.events).toEqual([]);
    await broker.start();
    await registering;
    await recorder.reaches({ 'v1/a/1': 1 });
    expect(recorder.isReady).toBe(true);
    await recorder.stop();
    await early.close();
    await broker.close();
  });

  it('closes in bounded time while etcd is away', async () => {
    const broker = await etcd.start();
    const discovery = connect(broker.address);
    const registration = await discovery.register({ key: 'v1/a/1', value: encode(1) });
    await broker.kill();
    await registration.close();
    await discovery.close();
    await broker.close();
  });

  it('logs in with user name and password', async () => {
    const broker = await etcd.start();
    const open = createEtcdClient({ endpoints: [broker.address] });
    await open.role('root').create();
    const user = await open.user('root').create('secret');
    await user.addRole('root');
    await open.auth.authEnable();
    open.close();
    const endpoints = [broker.address];
    await using discovery = connect(broker.address, {
      settings: { endpoints, username: 'root', password: 'secret' },
    });
    await using stranger = connect(broker.address, {
      settings: { endpoints, username: 'root', password: 'wrong' },
    });
    const recorder = new WatchRecorder(discovery, 'v1/a/');
    await discovery.register({ key: 'v1/a/1', value: encode(1) });
    await recorder.reaches({ 'v1/a/1': 1 });
    await expect(stranger.list('v1/')).rejects.toMatchObject({ code: 'discovery.unavailable' });
    await recorder.stop();
    await discovery.close();
    await broker.close();
  });
});
