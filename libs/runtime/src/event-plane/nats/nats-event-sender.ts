/** Collects the events of one event-loop tick and sends them, within what the broker takes. */
import { SubscribeResponse } from '@dynamo-ts/protocol';
import type { EventEnvelope } from '@dynamo-ts/protocol';
import type { NatsConnection } from 'nats';

import type { NatsConnectionHolder } from '../../nats/nats-connection.ts';
import type { EventDrops } from '../event-drops.ts';

/** What a {@link NatsEventSender} works with. */
export interface NatsEventSenderOptions {
  readonly nats: NatsConnectionHolder;
  readonly drops: EventDrops;
}

/** Bytes after which the broker is asked whether it has them. */
const ACKNOWLEDGE_AFTER_BYTES = 256 * 1024;
/** Bytes without the broker's word beyond which events are dropped: the client library's own buffer has no limit. */
const MAX_UNACKNOWLEDGED_BYTES = 16 * 1024 * 1024;
/** Room for the fields of an envelope and for NATS headers. */
const ENVELOPE_OVERHEAD_BYTES = 256;
const DEFAULT_MAX_PAYLOAD_BYTES = 1024 * 1024;

/** See the file comment. */
export class NatsEventSender {
  readonly #nats: NatsConnectionHolder;
  readonly #drops: EventDrops;
  readonly #batches = new Map<string, EventEnvelope[]>();
  #unacknowledgedBytes = 0;
  #isAsking = false;
  #isScheduled = false;

  constructor(options: NatsEventSenderOptions) {
    this.#nats = options.nats;
    this.#drops = options.drops;
  }

  /** Sends an event with the others of this tick. */
  send(event: EventEnvelope): void {
    const batch = this.#batches.get(event.subject);
    if (batch) batch.push(event);
    else this.#batches.set(event.subject, [event]);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.flush();
    });
  }

  /** Sends what was collected. */
  flush(): void {
    this.#isScheduled = false;
    const batches = [...this.#batches];
    this.#batches.clear();
    const connection = this.#nats.tryConnection();
    for (const [subject, events] of batches) {
      if (connection) this.#sendBatch(connection, subject, events);
      else for (const _event of events) this.#drops.count('disconnected', subject);
    }
  }

  #sendBatch(connection: NatsConnection, subject: string, events: readonly EventEnvelope[]): void {
    const limitBytes = connection.info?.max_payload ?? DEFAULT_MAX_PAYLOAD_BYTES;
    let message: EventEnvelope[] = [];
    let messageBytes = 0;
    for (const event of events) {
      const bytes = event.payload.byteLength + subject.length + ENVELOPE_OVERHEAD_BYTES;
      if (bytes > limitBytes) {
        this.#drops.count('too_large', subject);
        continue;
      }
      if (messageBytes + bytes > limitBytes) {
        this.#publish(connection, subject, message);
        message = [];
        messageBytes = 0;
      }
      message.push(event);
      messageBytes += bytes;
    }
    if (message.length > 0) this.#publish(connection, subject, message);
  }

  #publish(connection: NatsConnection, subject: string, events: EventEnvelope[]): void {
    if (this.#unacknowledgedBytes > MAX_UNACKNOWLEDGED_BYTES) {
      for (const _event of events) this.#drops.count('congested', subject);
      return;
    }
    const data = SubscribeResponse.encode({ events }).finish();
    connection.publish(subject, data);
    this.#unacknowledgedBytes += data.byteLength;
    if (!this.#isAsking && this.#unacknowledgedBytes > ACKNOWLEDGE_AFTER_BYTES) {
      void this.#askForAcknowledgement(connection);
    }
  }

  async #askForAcknowledgement(connection: NatsConnection): Promise<void> {
    this.#isAsking = true;
    const askedBytes = this.#unacknowledgedBytes;
    // A connection that breaks loses what was sent; its successor starts with nothing outstanding.
    const isTaken = await connection.flush().then(
      () => true,
      () => false,
    );
    this.#unacknowledgedBytes = isTaken ? this.#unacknowledgedBytes - askedBytes : 0;
    this.#isAsking = false;
  }
}
