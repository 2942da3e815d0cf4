import { DynamoError } from '@dynamo-ts/base';
import type { ClientFrame } from '@dynamo-ts/protocol';
import { createInbox } from 'nats';
import type { Msg, NatsConnection, Subscription } from 'nats';

import { ClientSession } from '../mux/client-session.ts';
import type { ReaderTurns } from '../reader-turns.ts';
import { NatsPublisher, natsLimits } from './nats-publisher.ts';
import { RESET_SEQUENCE, splitSequence } from './sequenced-message.ts';

/** Status of the message that the broker sends when nobody listens to a subject. */
const NO_RESPONDERS = 503;

/** Headers of a request that are also NATS headers of its message, so that tools on the broker can follow a trace. */
const TRACE_HEADERS = ['traceparent', 'tracestate'];

/** What a {@link NatsClientSession} is made of. */
export interface NatsClientSessionOptions {
  readonly connection: NatsConnection;
  /** Subject of the instance. */
  readonly subject: string;
  readonly creditBytes: number;
  readonly acceptTimeoutMs: number;
  readonly turns: ReaderTurns;
  readonly onClose: (session: NatsClientSession) => void;
}

/** This process's mux session with one instance over NATS: requests to its subject, answers to an inbox of our own. */
export class NatsClientSession {
  readonly subject: string;
  readonly mux: ClientSession;
  readonly #publisher: NatsPublisher;
  readonly #subscription: Subscription;
  readonly #onClose: (session: NatsClientSession) => void;
  readonly #answered = Promise.withResolvers<undefined>();
  #expected = 0;
  #closed = false;
  /** When the instance was last heard of, or first asked, on the monotonic clock; 0 = not asked yet. */
  #heardMs = 0;
  /** Since when no request is open; 0 = one is. */
  #restingMs = 0;

  constructor(options: NatsClientSessionOptions) {
    const { connection, creditBytes, acceptTimeoutMs, turns } = options;
    this.subject = options.subject;
    this.#onClose = options.onClose;
    const inbox = createInbox();
    this.#publisher = new NatsPublisher(connection, options.subject, inbox);
    this.#answered.promise.catch(() => undefined);
    this.#subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error === null) this.#receive(message);
        else this.close(error.message);
      },
    });
    this.mux = new ClientSession({
      creditBytes,
      acceptTimeoutMs,
      turns,
      ...natsLimits(connection),
      send: (message, done, frames) => {
        this.#publisher.send(message, done, traceOf(frames));
      },
    });
  }

  /** Milliseconds for which the instance has said nothing. */
  get silentMs(): number {
    return this.#heardMs === 0 ? 0 : performance.now() - this.#heardMs;
  }

  /** Expects nothing while no request is open; ends a session that has been at rest for long. */
  rest(closeAfterMs: number): void {
    this.#heardMs = 0;
    if (this.#restingMs === 0) this.#restingMs = performance.now();
    else if (performance.now() - this.#restingMs > closeAfterMs) this.close('not used');
  }

  /** Asks the instance for a sign of life. */
  beat(): void {
    if (this.#heardMs === 0) this.#heardMs = performance.now();
    this.#restingMs = 0;
    this.#publisher.beat();
  }

  /** Resolves when the instance has said anything. @throws `transport.cannot_connect` when nobody listens */
  async answered(): Promise<void> {
    this.beat();
    await this.#answered.promise;
  }

  /** Ends the session; its open requests fail. Idempotent. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#subscription.unsubscribe();
    this.#answered.reject(new DynamoError('transport.cannot_connect', reason));
    this.mux.close(reason);
    this.#onClose(this);
  }

  #receive(message: Msg): void {
    if (message.headers?.code === NO_RESPONDERS) {
      this.close(`nobody listens to ${this.subject}`);
      return;
    }
    const parts = splitSequence(message.data);
    if (parts === undefined || parts.sequence === RESET_SEQUENCE) {
      this.close(`${this.subject} does not know this session`);
      return;
    }
    if (parts.sequence !== this.#expected) {
      this.close(`messages from ${this.subject} were lost`);
      return;
    }
    this.#expected = (this.#expected + 1) % RESET_SEQUENCE;
    this.#heardMs = performance.now();
    this.#answered.resolve(undefined);
    if (parts.message.byteLength === 0) return;
    try {
      this.mux.receive(parts.message);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.close(`a message from ${this.subject} cannot be read: ${reason}`);
    }
  }
}

/** The trace headers of the first request that a message opens. */
function traceOf(frames: readonly ClientFrame[]): Record<string, string> | undefined {
  for (const { body } of frames) {
    if (body?.$case !== 'open') continue;
    const found = TRACE_HEADERS.flatMap((name) => {
      const value = body.value.headers[name];
      return value === undefined ? [] : [[name, value]];
    });
    if (found.length > 0) return Object.fromEntries(found) as Record<string, string>;
  }
  return undefined;
}
