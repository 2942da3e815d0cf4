import { describe, expect, it, vi } from 'vitest';

import { ActiveLoad, LOAD_METRICS_TOPIC, parseEndpointPath } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

import { TestKvWorker } from '../kv/testing-kv-worker.ts';
import { LocalRouter } from '../local-router.ts';
import type { PlacementRequest } from '../placement-router.ts';
import { TestCluster, WORKER_ENDPOINT } from '../testing-cluster.ts';
import { BusyDoor } from './busy-door.ts';
import { BusyInstances } from './busy-instances.ts';
import { BusyThresholds } from './busy-thresholds.ts';

const request = (bookingId: string): PlacementRequest => ({
  bookingId,
  blockHashes: new BigUint64Array(),
  blockSize: 16,
  promptTokens: 10,
  excluded: new Set(),
});

describe('a router behind a door', () => {
  it('places on workers that are not busy, and refuses when all are', async () => {
    await using cluster = await TestCluster.start();
    const workers = [await TestKvWorker.start(cluster), await TestKvWorker.start(cluster)];
    const { caller, client } = cluster;
    const thresholds = new BusyThresholds();
    await using busy = new BusyInstances({
      runtime: caller,
      instances: client,
      thresholds,
      model: 'm',
      logger: nullLogger,
    });
    await using door = new BusyDoor(
      new LocalRouter({ instances: busy.view, routerId: caller.instanceId }),
      busy,
    );
    const { namespace, component } = parseEndpointPath(WORKER_ENDPOINT);
    const topic = { scope: { namespace, component }, topic: LOAD_METRICS_TOPIC };
    const report = async (index: number, activePrefillTokens: number): Promise<void> => {
      const worker = workers[index] ?? expect.fail('no such worker');
      await using publisher = await worker.runtime.events.publisher(topic, worker.id);
      const load = ActiveLoad.create({ workerId: worker.id, activePrefillTokens });
      publisher.publish(ActiveLoad.encode(load).finish());
    };
    const place = async (): Promise<bigint> => {
      const { instanceId } = await door.route(request('r'), new Context());
      door.prefillDone('r');
      door.outputBlock('r');
      door.free('r');
      return instanceId;
    };
    // The card says that a worker computes 8192 tokens at once.
    thresholds.set('m', { activePrefillTokensThresholdFrac: 0.5 });
    await report(0, 5000);
    await vi.waitFor(() => {
      expect(busy.view.free()).toEqual([workers[1]?.id]);
    });
    expect([await place(), await place()]).toEqual([workers[1]?.id, workers[1]?.id]);
    await report(1, 5000);
    await vi.waitFor(async () => {
      await expect(place()).rejects.toMatchObject({ code: 'capacity.pool_exhausted' });
    });
    thresholds.set('m', { activePrefillTokensThresholdFrac: 1 });
    expect(new Set([await place(), await place()]).size).toBe(2);
  });
});
