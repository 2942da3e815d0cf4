/** etcd over TLS with client certificates, on a real server and certificates of this run. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';

import { etcdProvider } from '@dynamo-ts/testing';
import type { Broker } from '@dynamo-ts/testing';
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { WatchRecorder, encode } from '../discovery.contract.ts';
import type { EtcdSettings } from './etcd-client.ts';
import { EtcdDiscovery } from './etcd-discovery.ts';

const etcd = await etcdProvider();
const run = promisify(execFile);
const openssl = async (...args: readonly string[]): Promise<void> => {
  await run('openssl', [...args]);
};
const canMakeCertificates = await openssl('version').then(
  () => true,
  () => false,
);

/** A private authority and what it has signed. */
class Certificates {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Certificates> {
    const made = new Certificates(await mkdtemp(join(tmpdir(), 'dynamo-etcd-tls-')));
    for (const authority of ['ca', 'other-ca']) {
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
      const out = ['-keyout', made.path(`${authority}.key`), '-out', made.path(`${authority}.pem`)];
      await openssl('req', '-x509', ...key, ...out, '-days', '2', '-subj', `/CN=${authority}`);
    }
    await writeFile(made.path('san'), 'subjectAltName=IP:127.0.0.1');
    for (const name of ['server', 'client']) await made.#sign(name);
    return made;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async text(name: string): Promise<string> {
    return readFile(this.path(name), 'utf8');
  }

  async #sign(name: string): Promise<void> {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const request = ['-keyout', this.path(`${name}.key`), '-out', this.path(`${name}.csr`)];
    await openssl('req', ...key, ...request, '-subj', `/CN=${name}`);
    const authority = [
      '-CA',
      this.path('ca.pem'),
      '-CAkey',
      this.path('ca.key'),
      '-CAcreateserial',
    ];
    const files = ['-in', this.path(`${name}.csr`), '-out', this.path(`${name}.pem`)];
    await openssl(
      'x509',
      '-req',
      ...files,
      ...authority,
      '-days',
      '2',
      '-extfile',
      this.path('san'),
    );
  }
}

async function greets(address: string): Promise<boolean> {
  const [host = '', port] = address.split(':');
  return new Promise((resolve) => {
    const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false });
    const finish = (ready: boolean) => (): void => {
      socket.destroy();
      resolve(ready);
    };
    socket.once('secureConnect', finish(true)).once('error', finish(false));
  });
}

describe.skipIf(!etcd.local || !canMakeCertificates)(`TLS of ${etcd.label}`, () => {
  let certificates: Certificates;
  let broker: Broker;

  beforeAll(async () => {
    certificates = await Certificates.make();
    const files = [
      ...[
        '--cert-file',
        certificates.path('server.pem'),
        '--key-file',
        certificates.path('server.key'),
      ],
      ...['--trusted-ca-file', certificates.path('ca.pem'), '--client-cert-auth'],
    ];
    broker = await etcd.start((spec) => ({
      ...spec,
      commandLine: (place) => [
        ...spec.commandLine(place),
        ...['--listen-client-urls', `https://${place.host}:${place.port}`],
        ...['--advertise-client-urls', `https://${place.host}:${place.port}`],
        ...files,
      ],
      isReady: greets,
    }));
  }, 60_000);

  afterAll(async () => {
    await broker.close();
    await rm(certificates.folder, { recursive: true, force: true });
  });

  async function connect(ca: string, client: string | undefined): Promise<EtcdDiscovery> {
    const settings: EtcdSettings = {
      endpoints: [`https://${broker.address}`],
      caCertificate: await certificates.text(`${ca}.pem`),
      ...(client !== undefined && {
        clientCertificate: await certificates.text(`${client}.pem`),
        clientKey: await certificates.text(`${client}.key`),
      }),
    };
    return new EtcdDiscovery({ settings, leaseTtlSeconds: 2, logger: nullLogger });
  }

  it('carries lease, records and watches', { timeout: 60_000 }, async () => {
    await using discovery = await connect('ca', 'client');
    const recorder = new WatchRecorder(discovery, 'v1/a/');
    await discovery.register({ key: 'v1/a/1', value: encode(1) });
    await recorder.reaches({ 'v1/a/1': 1 });
    await recorder.stop();
  });

  it.each([
    ['shows no certificate', 'ca', undefined],
    ['does not trust the server', 'other-ca', 'client'],
  ])('refuses a client that %s', { timeout: 60_000 }, async (_case, ca, client) => {
    await using discovery = await connect(ca, client);
    await expect(
      discovery.list('v1/', { signal: AbortSignal.timeout(10_000) }),
    ).rejects.toMatchObject({ code: 'discovery.unavailable' });
  });
});
