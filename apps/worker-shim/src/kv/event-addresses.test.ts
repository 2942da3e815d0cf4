import { describe, expect, it } from 'vitest';

import { configuredAddresses, listedAddresses } from './event-addresses.ts';
import type { EventSocketSettings } from './event-addresses.ts';

const NONE: EventSocketSettings = {
  kvEventsEndpoint: [],
  kvReplayEndpoint: [],
  kvEventsTopic: undefined,
  dataParallelSize: 1,
};

describe('configuredAddresses', () => {
  it('has none when the operator gave none', () => {
    expect(configuredAddresses(NONE)).toEqual([]);
  });

  it('adds the rank to the ports of single endpoints', () => {
    expect(
      configuredAddresses({
        kvEventsEndpoint: ['tcp://gpu:5557'],
        kvReplayEndpoint: ['tcp://gpu:6557'],
        kvEventsTopic: 'kv',
        dataParallelSize: 2,
      }),
    ).toEqual([
      { dpRank: 0, endpoint: 'tcp://gpu:5557', replayEndpoint: 'tcp://gpu:6557', topic: 'kv' },
      { dpRank: 1, endpoint: 'tcp://gpu:5558', replayEndpoint: 'tcp://gpu:6558', topic: 'kv' },
    ]);
  });

  it('takes several endpoints as those of the ranks', () => {
    const kvEventsEndpoint = ['tcp://a:1', 'tcp://b:1'];
    const addresses = configuredAddresses({ ...NONE, kvEventsEndpoint });
    expect(addresses.map(({ endpoint }) => endpoint)).toEqual(kvEventsEndpoint);
  });

  it.each([
    [{ kvReplayEndpoint: ['tcp://a:1'] }, /both are needed/],
    [{ kvEventsEndpoint: ['a:1'] }, /a:1 is no event endpoint/],
    [{ kvEventsEndpoint: ['tcp://a:1', 'tcp://b:1'], dataParallelSize: 3 }, /3 ranks need/],
    [{ kvEventsEndpoint: ['tcp://a:1'], kvReplayEndpoint: ['tcp://a:2', 'tcp://b:2'] }, /1 ranks/],
  ])('refuses %o', (settings, message) => {
    expect(() => configuredAddresses({ ...NONE, ...settings })).toThrow(message);
  });
});

describe('listedAddresses', () => {
  // as vLLM 0.32 answers
  const source = {
    enable_kv_cache_events: true,
    publisher: 'zmq',
    endpoint: 'tcp://*:5557',
    replay_endpoint: 'tcp://*:5558',
    buffer_steps: 10000,
    hwm: 100000,
    max_queue_size: 100000,
    topic: 'kv-events',
  };

  it('reaches an engine that listens everywhere where its API is', () => {
    expect(listedAddresses({ 0: source }, 'gpu-1')).toEqual([
      {
        dpRank: 0,
        endpoint: 'tcp://gpu-1:5557',
        replayEndpoint: 'tcp://gpu-1:5558',
        topic: 'kv-events',
      },
    ]);
  });

  it('lists ranks in order, with the addresses that they say', () => {
    const other = { ...source, endpoint: 'tcp://10.0.0.7:6001', replay_endpoint: null, topic: '' };
    expect(listedAddresses({ 10: source, 9: other }, 'gpu-1')).toEqual([
      { dpRank: 9, endpoint: 'tcp://10.0.0.7:6001', replayEndpoint: undefined, topic: undefined },
      expect.objectContaining({ dpRank: 10 }),
    ]);
  });

  it.each([
    undefined,
    [],
    {},
    { 0: null },
    { 0: { ...source, publisher: 'null' } },
    { 0: { ...source, enable_kv_cache_events: false } },
    { 0: { ...source, endpoint: 'inproc://kv' } },
    { 0: { ...source, endpoint: 5557 } },
    { one: source },
    { '-1': source },
    { 1e9: source },
  ])('finds no events in %o', (sources) => {
    expect(listedAddresses(sources, 'gpu-1')).toEqual([]);
  });
});
