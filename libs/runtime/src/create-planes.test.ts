import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it } from 'vitest';

import { createPlanes } from './create-planes.ts';

describe('createPlanes', () => {
  it('makes the planes that are named', async () => {
    await using planes = await createPlanes({
      logger: nullLogger,
      discoveryBackend: 'mem',
      requestPlane: 'LOCAL',
      eventPlane: 'local',
    });
    expect([planes.discovery.backend, planes.requestPlane.backend, planes.events.backend]).toEqual([
      'mem',
      'local',
      'local',
    ]);
  });

  it.each([
    [
      { discoveryBackend: 'consul' },
      'DYN_DISCOVERY_BACKEND: "consul" is unknown; choose etcd, file, mem',
    ],
    [{ discoveryBackend: 'kubernetes' }, /use etcd in Kubernetes/],
    [{ requestPlane: 'tcp' }, /DYN_REQUEST_PLANE: "tcp" .*grpc does its job/],
    [{ requestPlane: 'http' }, /grpc does its job/],
    [{ eventPlane: 'zmq' }, /DYN_EVENT_PLANE: "zmq" .*direct does its job/],
  ])('refuses %j with a hint', async (settings, message) => {
    await expect(createPlanes({ logger: nullLogger, ...settings })).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringMatching(message) as string,
    });
  });
});
