import { describe, expect, it } from 'vitest';

import { ignoredRouterSettings, ignoredSettings } from './decided-settings.ts';

describe('ignoredSettings', () => {
  it('names every variable that is set in vain', () => {
    const lines = ignoredSettings({ DYN_REQUEST_PLANE: 'tcp', DYN_STORE_KV: 'etcd', PATH: '/' });
    expect(lines).toHaveLength(2);
    expect(lines.join('')).toMatch(/^DYN_STORE_KV=etcd .*\nDYN_REQUEST_PLANE=tcp has no effect/);
  });

  it('says nothing where nothing is set', () => {
    expect(ignoredSettings({ DYN_HTTP_PORT: '1', DYN_REQUEST_PLANE: '' })).toEqual([]);
  });
});

describe('ignoredRouterSettings', () => {
  const origins = { grpcPort: 'flag --router-grpc-port', routerHttpPort: 'default' };

  it('names the address of a router that is not started', () => {
    expect(ignoredRouterSettings({ routerPlacement: 'in-process' }, origins)).toMatch(
      /^--router-grpc-port has no effect: .*--router-placement service.*\n$/,
    );
  });

  it('says nothing where a router is started, or none is asked for', () => {
    expect(ignoredRouterSettings({ routerPlacement: 'service' }, origins)).toBeUndefined();
    const none = { grpcPort: 'default' };
    expect(ignoredRouterSettings({ routerPlacement: 'in-process' }, none)).toBeUndefined();
  });
});
