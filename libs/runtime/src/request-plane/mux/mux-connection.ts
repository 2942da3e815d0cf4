/**
 * The client's connection to one server process: connects when it is needed, and again when it is needed after a break.
 *
 * It is up when the server's headers have come, not when a socket opened.
 */
import { Backoff, DynamoError, raceAbort, systemClock, throwIfAborted } from '@dynamo-ts/base';
import { Client, Metadata, credentials } from '@grpc/grpc-js';
import type { ClientDuplexStream } from '@grpc/grpc-js';

import type { ReaderTurns } from '../reader-turns.ts';
import { ClientSession } from './client-session.ts';
import { CONNECT_METHOD, MUX_CHANNEL_OPTIONS } from './mux-transport.ts';

/** Settings of a {@link MuxConnection}. */
export interface MuxConnectionOptions {
  /** `host:port` or `unix:/path`. */
  readonly address: string;
  readonly creditBytes: number;
  readonly connectTimeoutMs: number;
  readonly acceptTimeoutMs: number;
  readonly turns: ReaderTurns;
}

type MuxCall = ClientDuplexStream<Uint8Array, Uint8Array>;

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting'; readonly session: Promise<ClientSession> }
  | { readonly kind: 'up'; readonly session: ClientSession }
  | { readonly kind: 'closed' };

/** A mux connection that is made on demand. */
export class MuxConnection {
  readonly #options: MuxConnectionOptions;
  readonly #client: Client;
  #state: State = { kind: 'idle' };
  #call: MuxCall | undefined;
  /** When the last request was opened, on the monotonic clock. */
  #usedMs = performance.now();

  constructor(options: MuxConnectionOptions) {
    this.#options = options;
    this.#client = new Client(options.address, credentials.createInsecure(), MUX_CHANNEL_OPTIONS);
  }

  /** Milliseconds since the connection last carried a request; 0 while it carries one. */
  get idleMs(): number {
    if (this.#state.kind === 'connecting') return 0;
    if (this.#state.kind === 'up' && this.#state.session.size > 0) return 0;
    return performance.now() - this.#usedMs;
  }

  /** The session if the connection is up. */
  trySession(): ClientSession | undefined {
    if (this.#state.kind !== 'up') return undefined;
    this.#usedMs = performance.now();
    return this.#state.session;
  }

  /** The session, connecting first when there is none. @throws `transport.cannot_connect` */
  async session(): Promise<ClientSession> {
    this.#usedMs = performance.now();
    switch (this.#state.kind) {
      case 'up':
        return this.#state.session;
      case 'connecting':
        return this.#state.session;
      case 'closed':
        throw new DynamoError('runtime.closed', 'the request plane is closed');
      case 'idle': {
        const session = this.#connect();
        this.#state = { kind: 'connecting', session };
        return session;
      }
    }
  }

  /** Resolves when the connection is up, trying until it is. */
  async reachable(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initialMs: 100, maxMs: 1000 });
    for (;;) {
      throwIfAborted(signal);
      try {
        await raceAbort(this.session(), signal);
        return;
      } catch (error) {
        if (this.#state.kind === 'closed') throw error;
        await systemClock.sleep(backoff.nextMs(), { signal });
      }
    }
  }

  /** Breaks the connection; open requests fail. Idempotent. */
  close(): void {
    const { kind } = this.#state;
    if (kind === 'closed') return;
    const session = this.#state.kind === 'up' ? this.#state.session : undefined;
    this.#state = { kind: 'closed' };
    session?.close('the request plane was closed');
    this.#call?.cancel();
    this.#client.close();
  }

  async #connect(): Promise<ClientSession> {
    const { address, connectTimeoutMs } = this.#options;
    const call: MuxCall = this.#client.makeBidiStreamRequest(
      CONNECT_METHOD.path,
      CONNECT_METHOD.requestSerialize,
      CONNECT_METHOD.responseDeserialize,
      new Metadata(),
    );
    this.#call = call;
    const session = this.#createSession(call, () => {
      call.cancel();
      broken(`nothing was heard for ${this.#options.acceptTimeoutMs} ms`);
    });
    const up = Promise.withResolvers<ClientSession>();
    let isBroken = false;
    const broken = (reason: string): void => {
      // A cancelled call reports its end in several ways; by the second one another connection may be on its way.
      if (isBroken) return;
      isBroken = true;
      this.#onBroken(session, `${address}: ${reason}`);
      up.reject(
        new DynamoError('transport.cannot_connect', `cannot connect to ${address}: ${reason}`),
      );
    };
    let isUp = false;
    const onLate = (): void => {
      if (isUp) return;
      call.cancel();
      broken(`no answer within ${connectTimeoutMs} ms`);
    };
    // When this process stood still itself the answer may be here and unread: it is read before the verdict.
    const timer = setTimeout(() => setImmediate(onLate), connectTimeoutMs);
    call.on('metadata', () => {
      isUp = true;
      if (this.#state.kind === 'connecting') this.#state = { kind: 'up', session };
      up.resolve(session);
    });
    call.on('data', (message: Uint8Array) => {
      session.receive(message);
    });
    call.on('error', (error) => {
      broken(error.message);
    });
    call.on('end', () => {
      call.cancel();
      broken('the server closed the connection');
    });
    try {
      return await up.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #createSession(call: MuxCall, onSilent: () => void): ClientSession {
    const { creditBytes, acceptTimeoutMs, turns } = this.#options;
    return new ClientSession({
      turns,
      creditBytes,
      acceptTimeoutMs,
      onSilent,
      send: (message, done) => {
        call.write(message, done);
      },
    });
  }

  #onBroken(session: ClientSession, reason: string): void {
    const current = this.#state.kind === 'up' ? this.#state.session === session : true;
    if (current && this.#state.kind !== 'closed') this.#state = { kind: 'idle' };
    session.close(reason);
  }
}
