import { describe, expect, it } from 'vitest';

import { endpointOfRank } from './event-endpoint.ts';

describe('endpointOfRank', () => {
  it.each([
    ['tcp://gpu-1:5557', 0, 'tcp://gpu-1:5557'],
    ['tcp://gpu-1:5557', 3, 'tcp://gpu-1:5560'],
    ['tcp://[::1]:5557', 1, 'tcp://[::1]:5558'],
    ['tcp://*:5557', 2, 'tcp://*:5559'],
    ['ipc:///run/kv', 0, 'ipc:///run/kv'],
  ])('adds the rank to the port of %s', (endpoint, rank, expected) => {
    expect(endpointOfRank(endpoint, rank)).toBe(expected);
  });

  it.each([
    ['http://gpu-1:5557', 0],
    ['tcp://gpu-1', 0],
    ['tcp://gpu-1:0', 0],
    ['tcp://gpu-1:65535', 1],
    ['ipc:///run/kv', 1],
    ['inproc://kv', 0],
    ['', 0],
  ])('refuses %s for rank %d', (endpoint, rank) => {
    expect(() => endpointOfRank(endpoint, rank)).toThrow(/is no event endpoint/);
  });
});
