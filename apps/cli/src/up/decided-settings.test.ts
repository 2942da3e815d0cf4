import { describe, expect, it } from 'vitest';

import { ignoredSettings } from './decided-settings.ts';

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
