import { createServer } from 'node:net';

const FIRST_PORT = 20_000;
const PORT_COUNT = 10_000;

/** Ports given out by this process: what they are for may listen only later. */
const given = new Set<number>();

/**
 * A free TCP port below the ephemeral range. A broker that a test stops and starts must keep its port, and a client
 * that retries a port of the ephemeral range on loopback can connect to itself and so take it away.
 * It is given once only.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
