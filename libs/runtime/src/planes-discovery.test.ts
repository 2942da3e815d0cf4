import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it } from 'vitest';

import { workerUrl } from './discovery/worker-thread.ts';
import { createDiscovery } from './planes-discovery.ts';

const logger = nullLogger;

describe('createDiscovery', () => {
  it('makes each backend without contacting it', async () => {
    for (const backend of ['mem', 'file', 'etcd'] as const) {
      await using discovery = await createDiscovery({
        backend,
        logger,
        fileRootPath: '/nowhere',
        etcd: { endpoints: 'http://127.0.0.1:1, 127.0.0.1:2' },
      });
      expect(discovery.backend).toBe(backend);
    }
  });

  it('names the variable of a certificate that cannot be used', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dynamo-planes-'));
    const path = join(folder, 'cert.pem');
    await writeFile(path, 'pem');
    const make = (etcd: object): Promise<unknown> =>
      createDiscovery({ backend: 'etcd', logger, etcd });
    await expect(make({ caPath: join(folder, 'missing.pem') })).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringContaining('ETCD_AUTH_CA') as string,
    });
    await expect(make({ clientCertificatePath: path })).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringContaining('ETCD_AUTH_CLIENT_KEY') as string,
    });
    await rm(folder, { recursive: true });
  });
});

describe('workerUrl', () => {
  it('names the source file from source and the compiled file from dist', () => {
    expect(workerUrl('file:///a/src/file/file-lease.ts', 'w').href).toBe('file:///a/src/file/w.ts');
    expect(workerUrl('file:///a/dist/file/file-lease.js', 'w').href).toBe(
      'file:///a/dist/file/w.js',
    );
  });
});
