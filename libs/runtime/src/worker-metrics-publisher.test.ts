import { asInstanceId } from '@dynamo-ts/base';
import { ActiveLoad, LOAD_METRICS_TOPIC } from '@dynamo-ts/protocol';
import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it } from 'vitest';

import { DistributedRuntime } from './distributed-runtime.ts';
import { createLocalPlanes } from './local-planes.ts';

describe('Component.createMetricsPublisher', () => {
  it('sends loads under the instance id of the process', async () => {
    await using planes = createLocalPlanes();
    const instanceId = asInstanceId(7n);
    await using runtime = await DistributedRuntime.connect({
      ...planes,
      logger: nullLogger,
      instanceId,
    });
    const scope = { namespace: 'n', component: 'c' };
    const { signal } = new AbortController();
    const heard = planes.events.subscribe({ scope, topic: LOAD_METRICS_TOPIC }, { signal });
    await using publisher = await runtime.namespace('n').component('c').createMetricsPublisher();
    publisher.publish(1, 12);
    publisher.publish({ activeRequests: 2, totalKvBlocks: 100 });
    const loads: ActiveLoad[] = [];
    for await (const event of heard) {
      loads.push(ActiveLoad.decode(event.payload));
      if (loads.length === 2) break;
    }
    expect(loads).toMatchObject([
      { workerId: 7n, dpRank: 1, activeDecodeBlocks: 12, activeRequests: 0 },
      { workerId: 7n, dpRank: 0, activeRequests: 2, totalKvBlocks: 100 },
    ]);
  });
});
