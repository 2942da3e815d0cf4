/**
 * The process's one NATS connection, shared by request plane and event plane. It is made in the background, tries until
 * it succeeds, and comes back within a second of the broker's return.
 */
import { Backoff, DynamoError, TaskGroup, raceAbort, systemClock } from '@dynamo-ts/base';
import type { AbortOptions, Clock } from '@dynamo-ts/base';
import { MetricsRegistry } from '@dynamo-ts/telemetry';
import type { Logger } from '@dynamo-ts/telemetry';
import { Events, connect, credsAuthenticator, nkeyAuthenticator } from 'nats';
import type { ConnectionOptions, NatsConnection, Status } from 'nats';

import { NATS_METRICS } from './metrics.ts';

/** How to reach NATS and log in; at most one kind of login is used, in the order given here. */
export interface NatsSettings {
  /** `NATS_SERVER`, for example `nats://localhost:4222`. */
  readonly servers: readonly string[];
  /** `NATS_AUTH_USERNAME` */
  readonly username?: string | undefined;
  /** `NATS_AUTH_PASSWORD` */
  readonly password?: string | undefined;
  /** `NATS_AUTH_TOKEN` */
  readonly token?: string | undefined;
  /** `NATS_AUTH_NKEY`, a seed. */
  readonly nkeySeed?: string | undefined;
  /** Content of the file that `NATS_AUTH_CREDENTIALS_FILE` names. */
  readonly credentials?: string | undefined;
}

/** Settings of a {@link NatsConnectionHolder}. */
export interface NatsConnectionOptions {
  readonly settings: NatsSettings;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  readonly clock?: Clock | undefined;
}

const CONNECT_TIMEOUT_MS = 5000;
const RECONNECT_WAIT_MS = 250;
const RECONNECT_JITTER_MS = 250;
/** A silent broker counts as gone after three of these. */
const PING_INTERVAL_MS = 5000;
const MAX_PINGS_OUT = 2;
const REMINDER_INTERVAL_MS = 10_000;
const FLUSH_TIMEOUT_MS = 1000;

/** Starts connecting to NATS; the first connection may take as long as it takes. */
export function connectNats(options: NatsConnectionOptions): NatsConnectionHolder {
  const holder = new NatsConnectionHolder(options);
  holder.start();
  return holder;
}

/** Owns the connection. */
export class NatsConnectionHolder implements AsyncDisposable {
  readonly #settings: NatsSettings;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #tasks: TaskGroup;
  readonly #countReconnect: () => void;
  readonly #first: PromiseWithResolvers<NatsConnection> = Promise.withResolvers();
  readonly #onReconnect = new Set<() => void>();
  #connection: NatsConnection | undefined;
  #isConnected = false;
  #isStarted = false;
  #closing: Promise<void> | undefined;

  constructor(options: NatsConnectionOptions) {
    this.#settings = options.settings;
    this.#logger = options.logger.child({ target: 'runtime.nats' });
    this.#clock = options.clock ?? systemClock;
    const counter = (options.metrics ?? new MetricsRegistry()).counter(
      NATS_METRICS.reconnectsTotal,
    );
    this.#countReconnect = () => {
      counter.inc();
    };
    this.#first.promise.catch(() => {});
    this.#tasks = new TaskGroup({
      name: 'nats',
      onError: (error) => {
        this.#logger.error('NATS connection task failed', { error });
      },
    });
  }

  /** Whether the broker can be talked to now. */
  get state(): 'connected' | 'disconnected' {
    return this.#isConnected ? 'connected' : 'disconnected';
  }

  /** The connection if it is up now. */
  tryConnection(): NatsConnection | undefined {
    return this.#isConnected ? this.#connection : undefined;
  }

  /** Calls `listener` each time that the broker answers again. @returns an unsubscribe */
  onReconnect(listener: () => void): () => void {
    this.#onReconnect.add(listener);
    return () => {
      this.#onReconnect.delete(listener);
    };
  }

  /** Starts connecting unless that has begun. */
  start(): void {
    if (this.#isStarted || this.#closing) return;
    this.#isStarted = true;
    this.#tasks.start('connect', (signal) => this.#run(signal));
  }

  /** Waits for the first connection, and gives that one then on, also while it is broken and being repaired. */
  async connection(options: AbortOptions = {}): Promise<NatsConnection> {
    this.start();
    return raceAbort(this.#first.promise, options.signal);
  }

  /** Sends what is queued, if the broker takes it within a second, and closes. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#first.reject(new DynamoError('runtime.closed', 'the NATS connection is closed'));
    const connection = this.#connection;
    if (connection && this.#isConnected) {
      const limit = new AbortController();
      const timeout = this.#clock.sleep(FLUSH_TIMEOUT_MS, { signal: limit.signal }).catch(() => {});
      await Promise.race([connection.flush().catch(() => {}), timeout]);
      limit.abort();
    }
    this.#isConnected = false;
    await connection?.close();
    await this.#tasks.close();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const connection = await this.#connectUntilUp(signal);
    if (!connection) return;
    this.#connection = connection;
    this.#isConnected = true;
    this.#first.resolve(connection);
    // The client's status never ends, not even with its connection.
    await Promise.race([this.#followStatus(connection), connection.closed()]);
  }

  async #followStatus(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) this.#onStatus(type);
  }

  async #connectUntilUp(signal: AbortSignal): Promise<NatsConnection | undefined> {
    const backoff = new Backoff();
    const isAborted = (): boolean => signal.aborted;
    let remindAtMs = 0;
    while (!isAborted()) {
      try {
        const connection = await connect(connectionOptions(this.#settings));
        if (remindAtMs > 0) this.#logger.info('NATS answers');
        if (!isAborted()) return connection;
        await connection.close();
      } catch (error) {
        if (this.#clock.monotonicMs() >= remindAtMs) {
          remindAtMs = this.#clock.monotonicMs() + REMINDER_INTERVAL_MS;
          const servers = this.#settings.servers.join(', ');
          this.#logger.warn('NATS cannot be reached; trying again until it answers', {
            servers,
            error,
          });
        }
        await this.#clock.sleep(backoff.nextMs(), { signal }).catch(() => {});
      }
    }
    return undefined;
  }

  #onStatus(type: Status['type']): void {
    if (this.#closing) return;
    if (type === Events.Disconnect && this.#isConnected) {
      this.#isConnected = false;
      this.#logger.warn('NATS connection broke; trying again until it answers');
    } else if (type === Events.Reconnect) {
      this.#isConnected = true;
      this.#countReconnect();
      this.#logger.info('NATS answers again');
      for (const listener of this.#onReconnect) listener();
    }
  }
}

function connectionOptions(settings: NatsSettings): ConnectionOptions {
  return {
    servers: [...settings.servers],
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_JITTER_MS,
    reconnectJitterTLS: RECONNECT_JITTER_MS,
    // A broker that restarts with its users not yet loaded must not end the connection for good.
    ignoreAuthErrorAbort: true,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: MAX_PINGS_OUT,
    ...loginOptions(settings),
  };
}

function loginOptions(settings: NatsSettings): ConnectionOptions {
  const encoder = new TextEncoder();
  const { username, password, token, nkeySeed, credentials } = settings;
  if (username !== undefined) return { user: username, pass: password ?? '' };
  if (token !== undefined) return { token };
  if (nkeySeed !== undefined) return { authenticator: nkeyAuthenticator(encoder.encode(nkeySeed)) };
  if (credentials !== undefined) {
    return { authenticator: credsAuthenticator(encoder.encode(credentials)) };
  }
  return {};
}
