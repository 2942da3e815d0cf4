/** What every socket towards an engine shares; all of it bounds what a broken or busy engine can cost. */
import { setImmediate } from 'node:timers/promises';

import type * as zeromq from 'zeromq';

/** A batch of a one-million-token prefill is about 5 MiB. Longer messages end the connection. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

const RECONNECT_MS = 100;
const SLOWEST_RECONNECT_MS = 5000;

/** Loads ZeroMQ's addon when the first socket is wanted: most workers have no such engine. */
export async function loadZeromq(): Promise<typeof zeromq> {
  return import('zeromq');
}

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

/** Frames that are decoded in one go; the next ones wait until whatever else is due has had its turn. */
const FRAMES_PER_TURN = 100;

/** Lets the event loop turn after every hundredth frame: a socket with a backlog would keep it for itself. */
export class Turns {
  #frames = 0;

  /** To be awaited for every frame. */
  next(): Promise<void> | undefined {
    this.#frames += 1;
    return this.#frames % FRAMES_PER_TURN === 0 ? setImmediate() : undefined;
  }
}

/** Whether a socket call ended because its time was over. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}
