/** Settings that every socket towards an engine shares; all of them bound what a broken engine can cost. */

/** A batch of a one-million-token prefill is about 5 MiB. Longer messages end the connection. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

const RECONNECT_MS = 100;
const SLOWEST_RECONNECT_MS = 5000;

/** Options of a socket for one endpoint. */
export function socketOptions(endpoint: string): {
  readonly linger: number;
  readonly maxMessageSize: number;
  readonly reconnectInterval: number;
  readonly reconnectMaxInterval: number;
  readonly ipv6: boolean;
  readonly tcpKeepalive: number;
} {
  return {
    linger: 0,
    maxMessageSize: MAX_MESSAGE_BYTES,
    reconnectInterval: RECONNECT_MS,
    reconnectMaxInterval: SLOWEST_RECONNECT_MS,
    ipv6: endpoint.includes('['),
    tcpKeepalive: 1,
  };
}

/** Whether a socket call ended because its time was over. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}
