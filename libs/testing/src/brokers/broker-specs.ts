import { connect } from 'node:net';

import type { BrokerSpec } from './broker.ts';

const PROBE_TIMEOUT_MS = 1000;

/** How etcd is run for tests. */
export const ETCD_SPEC: BrokerSpec = {
  name: 'etcd',
  binary: 'etcd',
  image: 'quay.io/coreos/etcd:v3.6.6',
  containerPort: 2379,
  commandLine: ({ host, port, peerPort, dataPath }) => [
    ...['--data-dir', `${dataPath}/etcd`],
    ...['--listen-client-urls', `http://${host}:${port}`],
    ...['--advertise-client-urls', `http://${host}:${port}`],
    ...['--listen-peer-urls', `http://127.0.0.1:${peerPort}`],
    ...['--initial-advertise-peer-urls', `http://127.0.0.1:${peerPort}`],
    ...['--initial-cluster', `default=http://127.0.0.1:${peerPort}`],
    // A lone member elects itself after the election timeout; the default makes every start take a second.
    ...['--heartbeat-interval', '20', '--election-timeout', '200'],
  ],
  isReady: async (address) => {
    const response = await fetch(`http://${address}/health`, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    return (await response.text()).includes('true');
  },
};

/** How the NATS server is run for tests. */
export const NATS_SPEC: BrokerSpec = {
  name: 'nats',
  binary: 'nats-server',
  image: 'nats:2.12-alpine',
  containerPort: 4222,
  commandLine: ({ host, port }) => ['--addr', host, '--port', String(port)],
  isReady: greetsWithInfo,
};

/** Whether a NATS server sends its greeting, which it does before the client says anything. */
async function greetsWithInfo(address: string): Promise<boolean> {
  const [host, port] = address.split(':');
  return new Promise((resolve) => {
    const socket = connect({ host: host ?? '', port: Number(port), timeout: PROBE_TIMEOUT_MS });
    const finish = (ready: boolean) => (): void => {
      socket.destroy();
      resolve(ready);
    };
    socket.once('data', finish(true));
    socket.once('error', finish(false));
    socket.once('close', finish(false));
    socket.once('timeout', finish(false));
  });
}
