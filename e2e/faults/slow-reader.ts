/** A client that asks for a long stream and reads one byte of it a second. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

import { MODEL } from './completion.ts';

/** A slow reader. */
export class SlowReader {
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined); // being cut off is what the server may do
    this.#timer = setInterval(() => {
      socket.read(1);
    }, 1000);
  }

  /** Sends the request. */
  static start(url: string, seed: number): SlowReader {
    const { hostname, port } = new URL(url);
    const body = JSON.stringify({
      model: MODEL,
      prompt: `slow ${seed}`,
      max_tokens: 4000,
      stream: true,
    });
    const socket = connect(Number(port), hostname);
    socket.pause();
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    return new SlowReader(socket);
  }

  /** Whether the server has not cut it off. */
  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /** Leaves. */
  close(): void {
    clearInterval(this.#timer);
    this.#socket.destroy();
  }
}
