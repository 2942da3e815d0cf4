import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { Discovery } from './discovery/discovery.ts';
import type { EtcdSettings } from './discovery/etcd/etcd-client.ts';
import type { MemDiscoveryHub } from './discovery/mem/mem-discovery.ts';

/** What {@link createDiscovery} needs; each value is named after the variable that it comes from. */
export interface DiscoveryOptions {
  /** `DYN_DISCOVERY_BACKEND` */
  readonly backend: Discovery['backend'];
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  /** Store of the memory backend. @default a hub of its own */
  readonly hub?: MemDiscoveryHub | undefined;
  /** `DYN_FILE_KV`. @default `dynamo_store_kv` in the system's temporary directory */
  readonly fileRootPath?: string | undefined;
  /** Life of a record without heartbeat under the file backend. @default 10000 */
  readonly fileTtlMs?: number | undefined;
  readonly etcd?: EtcdOptions | undefined;
}

/** The `ETCD_*` variables. */
export interface EtcdOptions {
  /** `ETCD_ENDPOINTS`, comma separated or a list. @default http://localhost:2379 */
  readonly endpoints?: string | readonly string[] | undefined;
  /** `ETCD_LEASE_TTL` in seconds. @default 10 */
  readonly leaseTtlSeconds?: number | undefined;
  /** `ETCD_AUTH_USERNAME` */
  readonly username?: string | undefined;
  /** `ETCD_AUTH_PASSWORD` */
  readonly password?: string | undefined;
  /** `ETCD_AUTH_CA`, path of a PEM file. */
  readonly caPath?: string | undefined;
  /** `ETCD_AUTH_CLIENT_CERT`, path of a PEM file. */
  readonly clientCertificatePath?: string | undefined;
  /** `ETCD_AUTH_CLIENT_KEY`, path of a PEM file. */
  readonly clientKeyPath?: string | undefined;
}

const DEFAULT_ETCD_ENDPOINT = 'http://localhost:2379';

/**
 * Makes the discovery backend of this process. It does not wait for the store. Only the chosen backend is loaded.
 *
 * @throws `config.invalid` when a certificate file cannot be read or a client certificate lacks its key
 */
export async function createDiscovery(options: DiscoveryOptions): Promise<Discovery> {
  const { logger, metrics } = options;
  switch (options.backend) {
    case 'mem': {
      const { MemDiscovery, MemDiscoveryHub } = await import('./discovery/mem/mem-discovery.ts');
      return new MemDiscovery({ hub: options.hub ?? new MemDiscoveryHub() });
    }
    case 'file': {
      const { FileDiscovery } = await import('./discovery/file/file-discovery.ts');
      return new FileDiscovery({
        rootPath: options.fileRootPath ?? join(tmpdir(), 'dynamo_store_kv'),
        ttlMs: options.fileTtlMs,
        logger,
        metrics,
      });
    }
    case 'etcd': {
      // Loaded when it is chosen: loading the client costs a process a tenth of a second.
      const { EtcdDiscovery } = await import('./discovery/etcd/etcd-discovery.ts');
      return new EtcdDiscovery({
        settings: await readEtcdSettings(options.etcd ?? {}),
        leaseTtlSeconds: options.etcd?.leaseTtlSeconds,
        logger,
        metrics,
      });
    }
  }
}

async function readEtcdSettings(options: EtcdOptions): Promise<EtcdSettings> {
  const {
    endpoints = DEFAULT_ETCD_ENDPOINT,
    caPath,
    clientCertificatePath,
    clientKeyPath,
  } = options;
  if ((clientCertificatePath === undefined) !== (clientKeyPath === undefined)) {
    throw new DynamoError(
      'config.invalid',
      'ETCD_AUTH_CLIENT_CERT and ETCD_AUTH_CLIENT_KEY are set together or not at all',
    );
  }
  return {
    endpoints: typeof endpoints === 'string' ? splitList(endpoints) : endpoints,
    username: options.username,
    password: options.password,
    caCertificate: await readPem('ETCD_AUTH_CA', caPath),
    clientCertificate: await readPem('ETCD_AUTH_CLIENT_CERT', clientCertificatePath),
    clientKey: await readPem('ETCD_AUTH_CLIENT_KEY', clientKeyPath),
  };
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

async function readPem(variable: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new DynamoError(
      'config.invalid',
      `${variable} names ${path}, which cannot be read; give the path of a PEM file`,
      { cause: error },
    );
  }
}
