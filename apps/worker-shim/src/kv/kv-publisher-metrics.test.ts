import { expect, it } from 'vitest';

import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';

import { KvPublisherMetrics } from './kv-publisher-metrics.ts';
import type { KvIndexStats, KvPublisherMetricsOptions } from './kv-publisher-metrics.ts';

const NOTHING: KvIndexStats = {
  stored: 0,
  removed: 0,
  cleared: 0,
  filteredGroups: [0, 0],
  filteredLocalities: [0, 0],
  removedCopies: 0,
  wrongBlockSizes: 0,
  refusedBlockSize: 0,
  shortTokens: 0,
  repeatedHashes: 0,
  refused: [],
  refusedKinds: [],
  gaps: 0,
  staleBatches: 0,
  restarts: 0,
  unknownTags: 0,
  droppedBatches: 0,
  ignoredRanks: 0,
  blocks: 0,
  bytes: 0,
  lastEventIds: new BigUint64Array(0),
};

it('counts on over the lives of an engine, and says of what kind the filtered events were', async () => {
  const metrics = new MetricsRegistry();
  const workerId = 7n as KvPublisherMetricsOptions['workerId'];
  using publisher = new KvPublisherMetrics({ workerId, metrics, logger: nullLogger });
  let stats = { ...NOTHING, filteredGroups: [3, 2], filteredLocalities: [1, 0], removedCopies: 4 };
  publisher.follow({ stats: () => stats }, 16);
  await metrics.text();
  stats = { ...stats, filteredGroups: [5, 2] };
  publisher.forget();
  publisher.follow({ stats: () => ({ ...NOTHING, filteredGroups: [10, 0] }) }, 16);
  const lines = (await metrics.text()).split('\n');
  const filtered = lines.flatMap((line) => {
    const [, kind, reason, value] =
      /zmq_filtered_events_total\{.*event_type="(\w+)",reason="(\w+)"\} (\d+)/.exec(line) ?? [];
    return kind === undefined ? [] : [`${kind} ${reason} ${value}`];
  });
  expect(filtered.sort()).toEqual([
    'removed cache_group 2',
    'removed copy 4',
    'removed locality 0',
    'stored cache_group 15',
    'stored locality 1',
  ]);
});
