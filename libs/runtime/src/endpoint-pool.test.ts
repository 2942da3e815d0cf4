import { createInstanceId } from '@dynamo-ts/base';
import { EndpointInstance, instanceKey } from '@dynamo-ts/protocol';
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Context } from './context.ts';
import { MemDiscovery, MemDiscoveryHub } from './discovery/mem/mem-discovery.ts';
import type { Registration } from './discovery/discovery.ts';
import { EndpointPool } from './endpoint-pool.ts';
import { LocalRequestPlane } from './request-plane/local/local-request-plane.ts';
import type { ResponseSink } from './request-plane/request-plane.ts';

const PATH = { namespace: 'test', component: 'backend', endpoint: 'generate' };

/** A local plane whose instances can be made unreachable, as behind a network that swallows everything. */
class SwallowingPlane extends LocalRequestPlane {
  swallows = false;

  override async reachable(...args: Parameters<LocalRequestPlane['reachable']>): Promise<void> {
    if (!this.swallows) return super.reachable(...args);
    const [, { signal }] = args;
    await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(new Error('cannot be reached'));
      });
    });
  }
}

describe('EndpointPool', () => {
  const instanceId = createInstanceId();
  let plane: SwallowingPlane;
  let pool: EndpointPool;
  let registration: Registration;
  let sink: ResponseSink;

  beforeEach(async () => {
    plane = new SwallowingPlane();
    const discovery = new MemDiscovery({ hub: new MemDiscoveryHub() });
    const { transport } = await plane.serve({ endpoint: PATH, instanceId }, (_request, its) => {
      sink = its;
      sink.write(new Uint8Array([1]));
    });
    const record = { type: 'Endpoint', ...PATH, instanceId, transport, deviceType: '' };
    registration = await discovery.register({
      key: instanceKey(PATH, instanceId),
      value: new TextEncoder().encode(JSON.stringify(EndpointInstance.toJSON(record))),
    });
    pool = new EndpointPool({
      path: PATH,
      discovery,
      requestPlane: plane,
      logger: nullLogger,
      inhibitedMs: 10,
      removedGraceMs: 20,
    });
    await pool.instances.ready();
  });

  afterEach(async () => {
    await pool.close();
    await plane.close();
  });

  const request = { payload: new Uint8Array(), context: new Context(), faultDetection: true };

  it('goes on when a listener of its instances fails', async () => {
    const kinds: string[] = [];
    let fails = false;
    pool.instances.onChange(() => {
      if (fails) throw new Error('a defect');
    });
    pool.instances.onChange(({ kind }) => kinds.push(kind));
    fails = true;
    await registration.close();
    await vi.waitFor(() => {
      expect(kinds).toEqual(['added', 'removed']);
    });
    expect(pool.instances.ids()).toEqual([]);
  });

  it('lets the answers of an instance that left go on while it can be reached', async () => {
    const response = await pool.open(instanceId, request);
    await response.nextBatch();
    await registration.close();
    await vi.waitFor(() => {
      expect(pool.instances.ids()).toEqual([]);
    });
    // Longer than the grace time.
    await new Promise((resolve) => setTimeout(resolve, 60));
    sink.write(new Uint8Array([2]));
    sink.end();
    expect(await response.nextBatch()).toEqual([new Uint8Array([2])]);
    expect(pool.occupancy.inFlight(instanceId)).toBe(0);
  });

  it('fails the answers of an instance that left and cannot be reached, so that they migrate', async () => {
    const response = await pool.open(instanceId, request);
    await response.nextBatch();
    plane.swallows = true;
    await registration.close();
    await expect(response.nextBatch()).rejects.toMatchObject({
      code: 'transport.disconnected',
      retryable: true,
    });
    expect(pool.occupancy.inFlight(instanceId)).toBe(0);
  });

  it('keeps an inhibited instance out until it can be reached, however long that takes', async () => {
    plane.swallows = true;
    // A second instance, so that the first may be shut out.
    vi.spyOn(pool.instances, 'ids').mockReturnValue([instanceId, createInstanceId()]);
    pool.availability.reportDown(instanceId);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(pool.availability.routable()).not.toContain(instanceId);
  });
});
