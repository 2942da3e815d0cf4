/**
 * Writes one server-sent event stream with as little work per write as Node allows.
 *
 * The status line goes out with the first event. After it, chunks are framed here and written to the socket as one string:
 * `ServerResponse.write` would make four writes of each. The response object still ends the body, so its bookkeeping
 * (keep-alive, `finish`) stays right.
 */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import type { BoundGauge } from '@dynamo-ts/telemetry';
import { SSE_CONTENT_TYPE, SSE_KEEP_ALIVE } from '@dynamo-ts/openai';

/** What a {@link SseWriter} needs. */
export interface SseWriterOptions {
  readonly response: ServerResponse;
  readonly headers: OutgoingHttpHeaders;
  /** Counts streams whose client is behind. */
  readonly waiting?: BoundGauge | undefined;
}

/** One event stream. */
export class SseWriter {
  readonly #response: ServerResponse;
  readonly #headers: OutgoingHttpHeaders;
  readonly #waiting: BoundGauge | undefined;
  #started = false;
  /** Set when chunks can be framed here. */
  #socket: Socket | undefined;
  #lastWriteMs = performance.now();
  /** Choices that wait for the client. */
  #waits = 0;

  constructor(options: SseWriterOptions) {
    this.#response = options.response;
    this.#headers = options.headers;
    this.#waiting = options.waiting;
  }

  /** Whether the status line has been sent: errors must be events from then on. */
  get started(): boolean {
    return this.#started;
  }

  /** When something was last written, by `performance.now()`. */
  get lastWriteMs(): number {
    return this.#lastWriteMs;
  }

  /** Writes events. @returns false when the client reads too slowly: wait for {@link drained} */
  write(text: string, nowMs: number = performance.now()): boolean {
    this.#lastWriteMs = nowMs;
    if (this.#socket !== undefined) {
      const size = Buffer.byteLength(text).toString(16);
      return this.#socket.write(`${size}\r\n${text}\r\n`);
    }
    if (this.#response.destroyed) return true;
    return this.#started ? this.#response.write(text) : this.#start(text);
  }

  /** Resolves when the client has taken what was written, or has left. */
  drained(): Promise<void> {
    const response = this.#response;
    const source = this.#socket ?? response;
    if (response.destroyed || !source.writableNeedDrain) return Promise.resolve();
    if (this.#waits === 0) this.#waiting?.inc();
    this.#waits += 1;
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waits -= 1;
        if (this.#waits === 0) this.#waiting?.dec();
        source.off('drain', done);
        response.off('close', done);
        resolve();
      };
      source.on('drain', done);
      response.on('close', done);
    });
  }

  /** Sends a comment so that nobody takes the silence for an end; nothing while the client is behind. */
  keepAlive(nowMs: number): void {
    if (this.#socket?.writableNeedDrain !== true) this.write(SSE_KEEP_ALIVE, nowMs);
  }

  /**
   * Writes the last events and ends the stream, in one write: a client that stops reading at the last event would leave
   * the end of the body unread otherwise, and could not use its connection again.
   */
  end(text: string): void {
    if (this.#response.destroyed) return;
    this.#socket?.cork();
    if (text !== '') this.write(text);
    this.#response.end();
    this.#socket?.uncork();
  }

  #start(text: string): boolean {
    this.#started = true;
    const response = this.#response;
    response.writeHead(200, {
      'content-type': SSE_CONTENT_TYPE,
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      ...this.#headers,
    });
    const flows = response.write(text);
    const { socket } = response;
    // A pipelined response has no socket yet, and HTTP/1.0 has no chunks: those go the long way.
    if (response.chunkedEncoding && socket !== null) this.#socket = socket;
    return flows;
  }
}
