/**
 * A TCP proxy for tests that can break all its connections at once, as the death of the process behind it would, or
 * swallow everything, as a cut network does.
 */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

/** A proxy on a fixed port of loopback in front of a target that can be exchanged. */
export class SeverableProxy {
  readonly port: number;
  #server: Server;
  readonly #sockets = new Set<Socket>();
  #targetPort = 0;
  #silent = false;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
    this.#accept(server);
  }

  /** Starts listening on a free port. */
  static async listen(): Promise<SeverableProxy> {
    const server = createServer();
    return new SeverableProxy(server, await listening(server, 0));
  }

  /** Sends new connections to this port. */
  pointAt(port: number): void {
    this.#targetPort = port;
  }

  /** Destroys all connections and refuses new ones. */
  async sever(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Forwards nothing in either direction; connections stay open, new ones are taken and get no answer. */
  silence(): void {
    this.#silent = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Ends {@link silence}: what waited is forwarded. */
  unsilence(): void {
    this.#silent = false;
    for (const socket of this.#sockets) socket.resume();
  }

  /** Destroys all connections and stops listening. */
  async close(): Promise<void> {
    await this.sever();
  }

  /** Listens on the same port again. */
  async restore(): Promise<void> {
    this.#server = createServer();
    await listening(this.#server, this.port);
    this.#accept(this.#server);
  }

  #accept(server: Server): void {
    server.on('connection', (client) => {
      const target = connect(this.#targetPort, '127.0.0.1');
      for (const [from, to] of [
        [client, target],
        [target, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (chunk: Buffer) => to.write(chunk));
        from.on('end', () => to.end());
        if (this.#silent) from.pause();
        from.on('error', () => to.destroy());
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
  }
}

async function listening(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      // A TCP server that listens has an AddressInfo.
      resolve((server.address() as AddressInfo).port);
    });
  });
}
