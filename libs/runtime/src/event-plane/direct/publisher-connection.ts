/**
 * A subscriber's stream from one publishing process. It is opened again, within a second of the publisher's return,
 * until it is closed.
 */
import { Backoff, systemClock } from '@dynamo-ts/base';
import { EventServiceClient } from '@dynamo-ts/protocol';
import type { EventEnvelope, SubscribeResponse } from '@dynamo-ts/protocol';
import { credentials } from '@grpc/grpc-js';
import type { Logger } from '@dynamo-ts/telemetry';

/** Settings of a {@link PublisherConnection}. */
export interface PublisherConnectionOptions {
  /** `host:port` of its EventService. */
  readonly address: string;
  readonly subject: string;
  readonly logger: Logger;
  readonly onEvent: (event: EventEnvelope) => void;
  /** Called each time that the stream is opened. */
  readonly onOpen: () => void;
  /** Called each time that the stream is opened again. */
  readonly onReconnect: () => void;
}

const CHANNEL_OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.max_receive_message_length': -1,
};

/** See the file comment. */
export class PublisherConnection {
  /** Resolves when the first attempt has succeeded or failed. */
  readonly settled: Promise<void>;
  readonly #options: PublisherConnectionOptions;
  readonly #client: EventServiceClient;
  readonly #closed = new AbortController();
  readonly #firstAttempt: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #backoff = new Backoff();
  #openings = 0;

  constructor(options: PublisherConnectionOptions) {
    this.#options = options;
    this.settled = this.#firstAttempt.promise;
    this.#client = new EventServiceClient(
      options.address,
      credentials.createInsecure(),
      CHANNEL_OPTIONS,
    );
  }

  /** Works until closed. */
  async run(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      await this.#follow();
      this.#firstAttempt.resolve();
      await systemClock.sleep(this.#backoff.nextMs(), { signal }).catch(() => {});
    }
    this.#client.close();
  }

  /** Ends the stream. Idempotent. */
  close(): void {
    this.#closed.abort();
    this.#firstAttempt.resolve();
  }

  /** One stream, until it ends. */
  async #follow(): Promise<void> {
    const { subject, address, logger, onEvent } = this.#options;
    const stream = this.#client.subscribe({ subjects: [subject] });
    const cancel = (): void => {
      stream.cancel();
    };
    this.#closed.signal.addEventListener('abort', cancel);
    await new Promise<void>((resolve) => {
      stream.on('metadata', () => {
        this.#noteOpen();
      });
      stream.on('data', ({ events }: SubscribeResponse) => {
        for (const event of events) onEvent(event);
      });
      stream.on('error', (error) => {
        if (this.#backoff.attempt === 0) {
          logger.debug('Event publisher cannot be reached; trying again', { address, error });
        }
        resolve();
      });
      stream.on('end', resolve);
    });
    this.#closed.signal.removeEventListener('abort', cancel);
  }

  #noteOpen(): void {
    this.#backoff.reset();
    this.#firstAttempt.resolve();
    if (this.#openings > 0) this.#options.onReconnect();
    this.#openings += 1;
    this.#options.onOpen();
  }
}
