/** The etcd client as the main thread and the lease thread use it. */
import { rootCertificates } from 'node:tls';

import { noop } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import type { IOptions } from 'etcd3';

/** How to reach etcd. Plain data, because it travels to the lease thread. */
export interface EtcdSettings {
  /** For example `http://localhost:2379`; several members of one cluster are tried in turn. */
  readonly endpoints: readonly string[];
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** PEM texts; giving any of them, or an `https://` endpoint, turns TLS on. */
  readonly caCertificate?: string | undefined;
  readonly clientCertificate?: string | undefined;
  readonly clientKey?: string | undefined;
}

/** No call takes longer than this; every caller tries again by its own rule. */
export const ETCD_CALL_TIMEOUT_MS = 5000;

const CHANNEL_OPTIONS = {
  // Back within a second of etcd's return; the default waits up to two minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  // Notice a peer that vanished without closing. etcd refuses pings more often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5000,
  // A thousand model cards are more than the default of 4 MiB.
  'grpc.max_receive_message_length': -1,
};

/** Makes a client. It connects at the first call. */
export function createEtcdClient(settings: EtcdSettings): Etcd3 {
  return new Etcd3({
    hosts: [...settings.endpoints],
    grpcOptions: CHANNEL_OPTIONS,
    defaultCallOptions: ({ isStream }) =>
      isStream ? {} : { deadline: Date.now() + ETCD_CALL_TIMEOUT_MS },
    // No circuit breaker, whose five seconds are longer than an etcd restart: our callers pace themselves.
    faultHandling: { host: () => noop, global: noop },
    ...credentialOptions(settings),
  });
}

function credentialOptions(settings: EtcdSettings): Partial<IOptions> {
  const { username, password, caCertificate, clientCertificate, clientKey } = settings;
  const options: Partial<IOptions> = {};
  if (username !== undefined) options.auth = { username, password: password ?? '' };
  if (caCertificate !== undefined || clientCertificate !== undefined) {
    options.credentials = {
      rootCertificate: Buffer.from(caCertificate ?? rootCertificates.join('\n')),
      ...(clientCertificate !== undefined && { certChain: Buffer.from(clientCertificate) }),
      ...(clientKey !== undefined && { privateKey: Buffer.from(clientKey) }),
    };
  }
  return options;
}
