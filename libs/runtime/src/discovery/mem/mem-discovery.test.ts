import { describe, expect, it } from 'vitest';

import { describeDiscoveryContract, encode } from '../discovery.contract.ts';
import { MemDiscovery, MemDiscoveryHub } from './mem-discovery.ts';

describeDiscoveryContract('memory discovery', async () => {
  const hub = new MemDiscoveryHub();
  return {
    connect: () => new MemDiscovery({ hub }),
    corrupt: async (key, value) => {
      hub.put({ key, value });
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
});

describe('MemDiscovery', () => {
  it('does not share records between hubs', async () => {
    await using first = new MemDiscovery({ hub: new MemDiscoveryHub() });
    await using second = new MemDiscovery({ hub: new MemDiscoveryHub() });
    await first.register({ key: 'v1/a/1', value: encode(1) });
    expect(await second.list('v1/')).toEqual([]);
  });
});
