/**
 * The server's half of one mux connection, whatever carries it: requests in, answers out.
 *
 * When the connection ends its requests are killed with `client-gone`.
 */
import {
  AbortReasonError,
  DynamoError,
  asInstanceId,
  asRequestId,
  instanceIdHex,
  isAbortReason,
} from '@dynamo-ts/base';
import type { AbortReason } from '@dynamo-ts/base';
import { ConnectRequest, parseEndpointPath } from '@dynamo-ts/protocol';
import type { ClientFrame, Kill, Open, ServerFrame, Stop } from '@dynamo-ts/protocol';

import { Context } from '../../context.ts';
import type { ServedHandlers } from '../served-handlers.ts';
import type { ServerCall } from '../server-call.ts';
import { toFailure } from './failure.ts';
import { FrameSender } from './frame-sender.ts';
import { MuxAnswer } from './mux-answer.ts';
import { encodeResponse } from './mux-codec.ts';
import { MAX_FRAME_BYTES, MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES } from './mux-limits.ts';

/** What a {@link ServerSession} is made of. */
export interface ServerSessionOptions {
  readonly send: (message: Uint8Array, done: () => void) => void;
  readonly handlers: ServedHandlers;
  /** @default 256 KiB */
  readonly maxFrameBytes?: number;
  /** @default 512 KiB */
  readonly maxMessageBytes?: number;
}

type ServerStream =
  | {
      readonly kind: 'receiving';
      readonly open: Open;
      readonly payload: Buffer;
      filled: number;
      /** The caller asked to stop before its payload was complete. */
      stopped: Stop | undefined;
    }
  | { readonly kind: 'running'; readonly call: ServerCall };

type ReceivingStream = Extract<ServerStream, { kind: 'receiving' }>;

/** Requests of one client process. */
export class ServerSession {
  readonly #handlers: ServedHandlers;
  readonly #sender: FrameSender<ServerFrame>;
  readonly #streams = new Map<number, ServerStream>();
  readonly #gone = new AbortController();

  constructor(options: ServerSessionOptions) {
    this.#handlers = options.handlers;
    this.#sender = new FrameSender<ServerFrame>({
      encode: encodeResponse,
      send: options.send,
      dataFrame: (stream, value, last) => ({
        stream,
        body: last ? { $case: 'data', value } : { $case: 'partial', value },
      }),
      maxFrameBytes: options.maxFrameBytes ?? MAX_FRAME_BYTES,
      maxMessageBytes: options.maxMessageBytes ?? MAX_MESSAGE_BYTES,
    });
  }

  /** Requests that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /** Handles a message from the client. */
  receive(message: Uint8Array): void {
    for (const frame of ConnectRequest.decode(message).frames) this.#handle(frame);
  }

  /** Resolves when everything answered so far has been taken by the connection. */
  async flushed(): Promise<void> {
    await this.#sender.flushed();
  }

  /** The connection is gone: kills its requests. Idempotent. */
  close(): void {
    this.#sender.close();
    this.#gone.abort(new AbortReasonError('client-gone'));
    for (const stream of [...this.#streams.values()]) {
      if (stream.kind === 'running') stream.call.kill('client-gone');
    }
    this.#streams.clear();
  }

  #handle({ stream: id, body }: ClientFrame): void {
    // Frames of a request that has ended here may still be on their way; its answer may still wait for credit.
    const stream = this.#streams.get(id);
    switch (body?.$case) {
      case 'open':
        this.#open(id, body.value);
        break;
      case 'credit':
        this.#sender.addCredit(id, body.value);
        break;
      case 'kill':
        this.#kill(id, stream, body.value);
        break;
      case 'data':
        if (stream?.kind === 'receiving') this.#receive(id, stream, body.value);
        break;
      case 'stop':
        if (stream !== undefined) stop(stream, body.value);
        break;
      case 'halfClose':
      case undefined:
        break;
    }
  }

  #open(id: number, open: Open): void {
    if (open.payloadSize > MAX_PAYLOAD_BYTES) {
      const message = `the payload has ${open.payloadSize} bytes; the limit is ${MAX_PAYLOAD_BYTES}`;
      this.#rejectInvalid(id, open, new DynamoError('request.payload_too_large', message));
      return;
    }
    const refusal = this.#refusal(open);
    if (refusal !== undefined) {
      this.#reject(id, refusal);
      return;
    }
    if (open.payload.byteLength >= open.payloadSize) {
      this.#run(id, open);
      return;
    }
    const payload = Buffer.allocUnsafe(open.payloadSize);
    payload.set(open.payload);
    const filled = open.payload.byteLength;
    this.#streams.set(id, { kind: 'receiving', open, payload, filled, stopped: undefined });
  }

  #receive(id: number, stream: ReceivingStream, piece: Uint8Array): void {
    if (stream.filled + piece.byteLength > stream.payload.byteLength) {
      this.#streams.delete(id);
      const message = 'more payload than was announced';
      this.#rejectInvalid(id, stream.open, new DynamoError('transport.protocol', message));
      return;
    }
    stream.payload.set(piece, stream.filled);
    stream.filled += piece.byteLength;
    if (stream.filled === stream.payload.byteLength) this.#run(id, stream.open, stream);
  }

  /** Why a request cannot run here, known before its payload is complete. */
  #refusal(open: Open): DynamoError | undefined {
    const served = this.#handlers.find(open.endpoint, asInstanceId(open.instanceId));
    if (served !== undefined) return served.refusal();
    return new DynamoError(
      'transport.cannot_connect',
      `no instance ${instanceIdHex(open.instanceId)} of ${open.endpoint} is served here`,
    );
  }

  #run(id: number, open: Open, received?: ReceivingStream): void {
    const served = this.#handlers.find(open.endpoint, asInstanceId(open.instanceId));
    if (served === undefined) {
      this.#reject(id, new DynamoError('runtime.closed', `${open.endpoint} has been closed`));
      return;
    }
    const context = new Context({ id: asRequestId(open.requestId), headers: open.headers });
    if (received?.stopped !== undefined) context.stopGenerating(...why(received.stopped));
    const answer = new MuxAnswer({
      stream: id,
      sender: this.#sender,
      onDone: () => this.#streams.delete(id),
      onUnsent: () => served.options.observer?.endUnsent(),
    });
    this.#sender.open(id, open.credit);
    const endpoint = parseEndpointPath(open.endpoint);
    const payload = received?.payload ?? open.payload;
    const caller = this.#gone.signal;
    const call = served.start({ endpoint, context, payload, caller }, answer);
    if (call !== undefined && !answer.done) this.#streams.set(id, { kind: 'running', call });
  }

  /** Rejects a request that its endpoint never sees. */
  #rejectInvalid(id: number, { endpoint, instanceId }: Open, error: DynamoError): void {
    this.#handlers.find(endpoint, asInstanceId(instanceId))?.options.observer?.messageInvalid();
    this.#reject(id, error);
  }

  #reject(id: number, error: DynamoError): void {
    this.#streams.delete(id);
    this.#sender.control({ stream: id, body: { $case: 'rejected', value: toFailure(error) } });
  }

  #kill(id: number, stream: ServerStream | undefined, kill: Kill): void {
    this.#streams.delete(id);
    this.#sender.drop(id);
    if (stream?.kind === 'running') stream.call.kill(...why(kill));
  }
}

function stop(stream: ServerStream, frame: Stop): void {
  if (stream.kind === 'running') stream.call.context.stopGenerating(...why(frame));
  else stream.stopped = frame;
}

/** Reason and time of a stop or kill. A caller whose clock is ahead cannot have given up in the future. */
function why({ reason, sinceUnixMs }: Kill | Stop): [AbortReason, number] {
  const nowMs = Date.now();
  return [isAbortReason(reason) ? reason : 'client-gone', Math.min(sinceUnixMs ?? nowMs, nowMs)];
}
