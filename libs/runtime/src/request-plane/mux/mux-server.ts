import type { ServerDuplexStream } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import type { Logger } from '@dynamo-ts/telemetry';

import type { GrpcService } from '../../grpc/grpc-server.ts';
import type { ServedHandlers } from '../served-handlers.ts';
import { MUX_SERVICE } from './mux-transport.ts';
import { ServerSession } from './server-session.ts';

type MuxCall = ServerDuplexStream<Uint8Array, Uint8Array>;

/** The mux service of a listener: one session per client process. */
export class MuxServer {
  readonly #handlers: ServedHandlers;
  readonly #logger: Logger;
  readonly #sessions = new Map<ServerSession, MuxCall>();

  constructor(options: { readonly handlers: ServedHandlers; readonly logger: Logger }) {
    this.#handlers = options.handlers;
    this.#logger = options.logger;
  }

  /** Client processes that are connected. */
  get size(): number {
    return this.#sessions.size;
  }

  /** The service to put on a listener. */
  service(): GrpcService {
    return {
      definition: MUX_SERVICE,
      implementation: {
        connect: (call: MuxCall) => {
          this.#connect(call);
        },
      },
    };
  }

  /** Sends what is still queued, then ends all sessions. */
  async close(): Promise<void> {
    await Promise.all(
      [...this.#sessions].map(async ([session, call]) => {
        await session.flushed();
        call.end();
      }),
    );
  }

  #connect(call: MuxCall): void {
    const session = new ServerSession({
      handlers: this.#handlers,
      send: (message, done) => {
        call.write(message, done);
      },
    });
    this.#sessions.set(session, call);
    const peer = call.getPeer();
    this.#logger.debug('client connected', { peer });
    const gone = (): void => {
      if (!this.#sessions.delete(session)) return;
      this.#logger.debug('client gone', { peer });
      session.close();
    };
    call.on('data', (message: Uint8Array) => {
      this.#receive(session, call, message);
    });
    call.on('error', gone);
    call.on('cancelled', gone);
    call.on('close', gone);
    call.on('end', () => {
      gone();
      call.end();
    });
    // The headers tell the client that it is connected.
    call.sendMetadata(new Metadata());
  }

  #receive(session: ServerSession, call: MuxCall, message: Uint8Array): void {
    if (!this.#sessions.has(session)) return;
    try {
      session.receive(message);
    } catch (error) {
      this.#logger.error('a client sent what cannot be read; its connection is closed', {
        peer: call.getPeer(),
        error,
      });
      call.end();
      this.#sessions.delete(session);
      session.close();
    }
  }
}
