import type { Msg, NatsConnection, Subscription } from 'nats';

import { ServerSession } from '../mux/server-session.ts';
import type { ServedHandlers } from '../served-handlers.ts';
import { NatsPublisher, natsLimits } from './nats-publisher.ts';
import { RESET_SEQUENCE, splitSequence, withSequence } from './sequenced-message.ts';

interface Peer {
  readonly mux: ServerSession;
  readonly publisher: NatsPublisher;
  expected: number;
  heardMs: number;
}

/** Mux sessions of the client processes that talk to one subject of this process, by their inbox. */
export class NatsServerSessions {
  readonly #connection: NatsConnection;
  readonly #handlers: ServedHandlers;
  readonly #peers = new Map<string, Peer>();
  readonly #subscription: Subscription;

  constructor(options: {
    readonly connection: NatsConnection;
    readonly subject: string;
    readonly handlers: ServedHandlers;
  }) {
    this.#connection = options.connection;
    this.#handlers = options.handlers;
    this.#subscription = options.connection.subscribe(options.subject, {
      callback: (error, message) => {
        if (error === null) this.#receive(message);
      },
    });
  }

  /** Kills the requests of clients that have been silent for too long, and forgets those that have none. */
  sweep(silentMs: number, idleMs: number): void {
    const now = performance.now();
    for (const [inbox, peer] of this.#peers) {
      const limitMs = peer.mux.size > 0 ? silentMs : idleMs;
      if (now - peer.heardMs > limitMs) this.#drop(inbox, peer);
    }
  }

  /** Kills all requests of all clients: the broker was away and messages may be lost. */
  reset(): void {
    for (const [inbox, peer] of this.#peers) this.#drop(inbox, peer);
  }

  /** Sends what is still queued, then stops listening. */
  async close(): Promise<void> {
    await Promise.all([...this.#peers.values()].map(({ mux }) => mux.flushed()));
    this.#subscription.unsubscribe();
    this.reset();
  }

  #receive(message: Msg): void {
    const inbox = message.reply;
    const parts = splitSequence(message.data);
    if (inbox === undefined || parts === undefined) return;
    const peer = this.#peers.get(inbox) ?? (parts.sequence === 0 ? this.#add(inbox) : undefined);
    if (peer?.expected !== parts.sequence) {
      this.#refuse(inbox, peer);
      return;
    }
    peer.expected = (peer.expected + 1) % RESET_SEQUENCE;
    peer.heardMs = performance.now();
    if (parts.message.byteLength === 0) {
      peer.publisher.beat();
      return;
    }
    try {
      peer.mux.receive(parts.message);
    } catch {
      // Anyone may publish to a subject; an error thrown into the NATS client would end the connection for all.
      this.#refuse(inbox, peer);
    }
  }

  /** Ends what there was and tells the client to begin again. */
  #refuse(inbox: string, peer: Peer | undefined): void {
    if (peer !== undefined) this.#drop(inbox, peer);
    this.#connection.publish(inbox, withSequence(RESET_SEQUENCE, new Uint8Array()));
  }

  #add(inbox: string): Peer {
    const publisher = new NatsPublisher(this.#connection, inbox);
    const mux = new ServerSession({
      handlers: this.#handlers,
      ...natsLimits(this.#connection),
      send: (message, done) => {
        publisher.send(message, done);
      },
    });
    const peer = { mux, publisher, expected: 0, heardMs: performance.now() };
    this.#peers.set(inbox, peer);
    return peer;
  }

  #drop(inbox: string, peer: Peer): void {
    this.#peers.delete(inbox);
    peer.mux.close();
  }
}
