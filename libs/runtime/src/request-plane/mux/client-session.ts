/**
 * The client's half of one mux connection, whatever carries it: requests out, answers in.
 *
 * When the connection ends every open request fails: `transport.cannot_connect` before it was accepted (nothing has
 * run, or nobody knows), `transport.disconnected` after.
 */
import { DynamoError } from '@dynamo-ts/base';
import { ConnectResponse, formatEndpointPath } from '@dynamo-ts/protocol';
import type { ClientFrame, ServerFrame } from '@dynamo-ts/protocol';

import type { ReaderTurns } from '../reader-turns.ts';
import type { OutgoingRequest, RawResponse, RequestTarget } from '../request-plane.ts';
import { ClientStream } from './client-stream.ts';
import type { ClientStreamLink } from './client-stream.ts';
import { fromFailure } from './failure.ts';
import { FrameSender } from './frame-sender.ts';
import { encodeRequest } from './mux-codec.ts';
import { MAX_FRAME_BYTES, MAX_MESSAGE_BYTES } from './mux-limits.ts';

/** What a {@link ClientSession} is made of. */
export interface ClientSessionOptions {
  readonly send: (message: Uint8Array, done: () => void, frames: readonly ClientFrame[]) => void;
  readonly creditBytes: number;
  /** How long the server may take to accept after it was sent the whole request. */
  readonly acceptTimeoutMs: number;
  /** The server has said nothing at all while a request waited for its acceptance: it stands still, or is cut off. */
  readonly onSilent?: () => void;
  /** Shared by all sessions of a process. @default readers do not wait for each other */
  readonly turns?: ReaderTurns | undefined;
  /** @default 256 KiB */
  readonly maxFrameBytes?: number;
  /** @default 512 KiB */
  readonly maxMessageBytes?: number;
}

/** Requests of this process on one connection. */
export class ClientSession {
  readonly #options: ClientSessionOptions;
  readonly #sender: FrameSender<ClientFrame>;
  readonly #streams = new Map<number, ClientStream>();
  readonly #maxFrameBytes: number;
  readonly #link: ClientStreamLink;
  #lastStream = 0;
  /** When the server last said anything, on the monotonic clock. */
  #heardMs = 0;
  #closed: DynamoError | undefined;

  constructor(options: ClientSessionOptions) {
    this.#options = options;
    this.#maxFrameBytes = options.maxFrameBytes ?? MAX_FRAME_BYTES;
    this.#sender = new FrameSender<ClientFrame>({
      encode: encodeRequest,
      send: options.send,
      dataFrame: (stream, value) => ({ stream, body: { $case: 'data', value } }),
      maxFrameBytes: this.#maxFrameBytes,
      maxMessageBytes: options.maxMessageBytes ?? MAX_MESSAGE_BYTES,
    });
    this.#link = this.#createLink();
  }

  /** Requests that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /** Opens a request; resolves when the server has accepted it. */
  async open(target: RequestTarget, request: OutgoingRequest): Promise<RawResponse> {
    if (this.#closed !== undefined) throw this.#closed;
    const id = this.#nextStream();
    const { creditBytes, acceptTimeoutMs, turns } = this.#options;
    const { payload, context } = request;
    const first =
      payload.byteLength <= this.#maxFrameBytes
        ? payload
        : payload.subarray(0, this.#maxFrameBytes);
    this.#sender.control(
      {
        stream: id,
        body: {
          $case: 'open',
          value: {
            endpoint: formatEndpointPath(target.endpoint),
            requestId: context.id,
            headers: context.headers,
            payload: first,
            payloadSize: payload.byteLength,
            credit: creditBytes,
            instanceId: target.instanceId,
          },
        },
      },
      first.byteLength,
    );
    const stream = new ClientStream({ id, request, link: this.#link, creditBytes, turns });
    this.#streams.set(id, stream);
    if (first !== payload) await this.#upload(id, payload.subarray(first.byteLength));
    stream.startAcceptTimer(acceptTimeoutMs);
    return stream.accepted;
  }

  /** Handles a message from the server. */
  receive(message: Uint8Array): void {
    this.#heardMs = performance.now();
    for (const frame of ConnectResponse.decode(message).frames) this.#handle(frame);
  }

  /** Kills every open request, for a connection that ends without breaking. */
  killAll(): void {
    for (const stream of [...this.#streams.values()]) stream.cancel();
  }

  /** Resolves when everything sent so far has been taken by the connection. */
  async flushed(): Promise<void> {
    await this.#sender.flushed();
  }

  /** The connection is gone. Idempotent. */
  close(reason: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = new DynamoError('transport.cannot_connect', reason);
    this.#sender.close();
    for (const stream of [...this.#streams.values()]) {
      const code = stream.opening ? 'transport.cannot_connect' : 'transport.disconnected';
      stream.fail(new DynamoError(code, reason));
    }
  }

  async #upload(id: number, rest: Uint8Array): Promise<void> {
    this.#sender.open(id, Infinity);
    this.#sender.data(id, rest);
    await this.#sender.drained(id);
    this.#sender.finish(id);
  }

  #handle(frame: ServerFrame): void {
    const stream = this.#streams.get(frame.stream);
    const { body } = frame;
    // Frames of a request that was killed here are still on their way.
    if (stream === undefined || body === undefined) return;
    switch (body.$case) {
      case 'data':
        stream.data(body.value);
        break;
      case 'partial':
        stream.partial(body.value);
        break;
      case 'accepted':
        stream.accept();
        break;
      case 'rejected':
        stream.reject(fromFailure(body.value));
        break;
      case 'end':
        stream.end();
        break;
      case 'error':
        stream.fail(fromFailure(body.value));
        break;
    }
  }

  #createLink(): ClientStreamLink {
    return {
      stop: (stream, value) => {
        this.#sender.control({ stream, body: { $case: 'stop', value } });
      },
      late: (openedMs) => {
        if (this.#heardMs < openedMs) this.#options.onSilent?.();
      },
      kill: (stream, value) => {
        this.#sender.drop(stream);
        this.#sender.control({ stream, body: { $case: 'kill', value } });
      },
      credit: (stream, value) => {
        this.#sender.control({ stream, body: { $case: 'credit', value } });
      },
      forget: (stream) => {
        this.#streams.delete(stream);
        this.#sender.drop(stream);
      },
    };
  }

  #nextStream(): number {
    do this.#lastStream = (this.#lastStream % 0xffff_ffff) + 1;
    while (this.#streams.has(this.#lastStream));
    return this.#lastStream;
  }
}
