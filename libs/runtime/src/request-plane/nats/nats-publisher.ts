import { headers } from 'nats';
import type { NatsConnection } from 'nats';

import { MAX_FRAME_BYTES, MAX_MESSAGE_BYTES } from '../mux/mux-limits.ts';
import { withSequence } from './sequenced-message.ts';

/** After this many bytes the publisher waits until the broker has them. */
const FLUSH_AFTER_BYTES = 512 * 1024;

/** Message sizes that fit a broker's `max_payload`. */
export function natsLimits(connection: NatsConnection): {
  readonly maxFrameBytes: number;
  readonly maxMessageBytes: number;
} {
  const maxPayload = connection.info?.max_payload ?? 1024 * 1024;
  return {
    // A message may exceed its limit by one frame, and an open frame carries headers besides its data.
    maxFrameBytes: Math.min(MAX_FRAME_BYTES, Math.floor(maxPayload / 4)),
    maxMessageBytes: Math.min(MAX_MESSAGE_BYTES, Math.floor(maxPayload / 2)),
  };
}

/** Sends the messages of one direction of a session, numbered, and waits for the broker now and then. */
export class NatsPublisher {
  readonly #connection: NatsConnection;
  readonly #subject: string;
  readonly #reply: string | undefined;
  #sequence = 0;
  #unflushed = 0;

  constructor(connection: NatsConnection, subject: string, reply?: string) {
    this.#connection = connection;
    this.#subject = subject;
    this.#reply = reply;
  }

  /** Publishes a message and calls `done` when more may follow. */
  send(message: Uint8Array, done: () => void, trace?: Readonly<Record<string, string>>): void {
    this.#publish(message, trace);
    this.#unflushed += message.byteLength;
    if (this.#unflushed < FLUSH_AFTER_BYTES) {
      // A message has a cost of its own in the broker: what else this iteration of the loop brings shares the next one.
      setImmediate(done);
      return;
    }
    this.#unflushed = 0;
    // A connection that breaks meanwhile closes the session, which needs no `done` any more.
    this.#connection.flush().then(done, () => undefined);
  }

  /** Says that this end lives. */
  beat(): void {
    this.#publish(new Uint8Array());
  }

  #publish(message: Uint8Array, trace?: Readonly<Record<string, string>>): void {
    if (this.#connection.isClosed()) return;
    const options: { reply?: string; headers?: ReturnType<typeof headers> } = {};
    if (this.#reply !== undefined) options.reply = this.#reply;
    if (trace !== undefined) {
      options.headers = headers();
      for (const [name, value] of Object.entries(trace)) options.headers.set(name, value);
    }
    this.#connection.publish(this.#subject, withSequence(this.#sequence, message), options);
    this.#sequence = (this.#sequence + 1) % 0xffff_ffff;
  }
}
