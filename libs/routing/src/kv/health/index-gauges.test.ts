import { asInstanceId, createInstanceId, instanceIdHex, systemClock } from '@dynamo-ts/base';
import { PlacementCore } from '@dynamo-ts/kv';
import { MetricsRegistry } from '@dynamo-ts/telemetry';
import { expect, it } from 'vitest';

import { PLAIN_WORKER } from '../fleet/worker-facts.ts';
import { KV_ROUTER_DEFAULTS } from '../kv-router-settings.ts';
import { IndexGauges } from './index-gauges.ts';

const WORKER = asInstanceId(7n);
const path = { namespace: 'test', component: 'backend', endpoint: 'generate' };

it('a worker is shown by both routers of an endpoint until it says whose it is, and then by that one', async () => {
  const registry = new MetricsRegistry();
  let owner: number | undefined;
  const routers = [16, 64].map((blockSize) => {
    const core = new PlacementCore({
      ...KV_ROUTER_DEFAULTS,
      blockSize,
      endpoint: 'test.backend.generate',
      routerId: createInstanceId(),
      seed: 1n,
    });
    const { models: _, countsAlike: __, ...plain } = PLAIN_WORKER;
    core.setWorker({ ...plain, workerId: WORKER });
    const countsAlike = (): boolean => owner === undefined || owner === blockSize;
    const routerId = instanceIdHex(createInstanceId());
    const gauges = new IndexGauges({
      core,
      registry,
      path,
      routerId,
      clock: systemClock,
      countsAlike,
    });
    return { core, gauges };
  });
  const lines = async (): Promise<readonly string[]> =>
    (await registry.text()).match(/(kv_index_blocks|kv_index_gaps_total|decode_blocks)\{.*/g) ?? [];
  expect(await lines()).toHaveLength(3);
  owner = 16;
  // The other one takes the series away, and the owner has it again at the next scrape.
  await lines();
  expect(await lines()).toHaveLength(3);
  owner = 64;
  await lines();
  expect(await lines()).toHaveLength(3);
  for (const { core, gauges } of routers) {
    gauges.close();
    await core.close();
  }
  expect(await lines()).toEqual([]);
});
