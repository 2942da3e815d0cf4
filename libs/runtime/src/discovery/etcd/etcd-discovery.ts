/**
 * Discovery through etcd (RF 1.5): records under this process's lease, watches that survive everything etcd can do.
 *
 * etcd may be away at any time, at the start too: registrations and watches wait for it, lists fail. When the lease is
 * lost, or etcd's data, the same records are put back and nothing exits.
 */
import { DynamoError, TaskGroup, raceAbort, systemClock, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions, Clock } from '@dynamo-ts/base';
import { MetricsRegistry } from '@dynamo-ts/telemetry';
import type { BoundCounter, Logger } from '@dynamo-ts/telemetry';
import type { Etcd3 } from 'etcd3';

import type {
  Discovery,
  DiscoveryEvent,
  DiscoveryRecord,
  DiscoveryState,
  Registration,
} from '../discovery.ts';
import { DISCOVERY_METRICS } from '../metrics.ts';
import { RecordView, isReadable } from '../record-view.ts';
import { createEtcdClient } from './etcd-client.ts';
import type { EtcdSettings } from './etcd-client.ts';
import { EtcdHealth } from './etcd-health.ts';
import { EtcdLease } from './etcd-lease.ts';
import type { EtcdLeaseReport } from './etcd-lease-messages.ts';
import { prefixRange } from './etcd-range.ts';
import { EtcdRecords } from './etcd-records.ts';
import type { WantedRecord } from './etcd-records.ts';
import { EtcdWatch } from './etcd-watch.ts';

/** Settings of an {@link EtcdDiscovery}. */
export interface EtcdDiscoveryOptions {
  readonly settings: EtcdSettings;
  /** How long records outlive a process that crashed, in whole seconds. @default 10 */
  readonly leaseTtlSeconds?: number | undefined;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  readonly clock?: Clock | undefined;
}

const DEFAULT_LEASE_TTL_SECONDS = 10;
/** How long closing a registration waits for an etcd that is away; the removal itself goes on. */
const REMOVAL_TIMEOUT_MS = 2000;

/** One process's connection to etcd. */
export class EtcdDiscovery implements Discovery {
  readonly backend = 'etcd';
  readonly #options: EtcdDiscoveryOptions;
  readonly #ttlSeconds: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #client: Etcd3;
  readonly #tasks: TaskGroup;
  readonly #health: EtcdHealth;
  readonly #records: EtcdRecords;
  readonly #lease: EtcdLease;
  readonly #leaseLosses: BoundCounter;
  readonly #resyncs: BoundCounter;
  #isWriting = false;
  #isListening = false;
  #closing: Promise<void> | undefined;

  constructor(options: EtcdDiscoveryOptions) {
    this.#options = options;
    this.#ttlSeconds = options.leaseTtlSeconds ?? DEFAULT_LEASE_TTL_SECONDS;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger.child({ target: 'dynamo_runtime::discovery' });
    const metrics = options.metrics ?? new MetricsRegistry();
    const labels = { backend: this.backend };
    const reconnects = metrics.counter(DISCOVERY_METRICS.reconnectsTotal).bind(labels);
    this.#leaseLosses = metrics.counter(DISCOVERY_METRICS.leaseLossesTotal).bind(labels);
    this.#resyncs = metrics.counter(DISCOVERY_METRICS.resyncsTotal).bind(labels);
    this.#client = createEtcdClient(options.settings);
    this.#tasks = new TaskGroup({
      name: 'etcd discovery',
      onError: (error, task) => {
        this.#logger.error('etcd discovery task failed', { task, error });
      },
    });
    this.#health = new EtcdHealth({
      probe: () => this.#client.kv.range({ ...prefixRange('v1/'), limit: 1, keys_only: true }),
      tasks: this.#tasks,
      clock: this.#clock,
      logger: this.#logger,
      onRecovery: () => {
        reconnects.inc();
      },
    });
    this.#lease = new EtcdLease({
      settings: options.settings,
      ttlSeconds: this.#ttlSeconds,
      logger: this.#logger,
      onReport: (report) => {
        this.#onLeaseReport(report);
      },
    });
    this.#records = new EtcdRecords({
      client: this.#client,
      health: this.#health,
      clock: this.#clock,
      onLeaseUnknown: () => {
        this.#lease.check();
      },
    });
  }

  get state(): DiscoveryState {
    return this.#health.state;
  }

  async register(record: DiscoveryRecord, options: AbortOptions = {}): Promise<Registration> {
    this.#throwIfClosed();
    throwIfAborted(options.signal);
    this.#startWriting();
    const wanted = this.#records.want(record);
    try {
      await raceAbort(wanted.stored, options.signal);
    } catch (error) {
      void this.#records.giveUp(record.key, wanted);
      throw error;
    }
    const close = (): Promise<void> => this.#remove(record.key, wanted);
    return { close, [Symbol.asyncDispose]: close };
  }

  async list(prefix: string, options: AbortOptions = {}): Promise<readonly DiscoveryRecord[]> {
    this.#throwIfClosed();
    throwIfAborted(options.signal);
    try {
      const response = await raceAbort(this.#client.kv.range(prefixRange(prefix)), options.signal);
      this.#health.noteAnswer();
      return response.kvs
        .map(({ key, value }) => ({ key: key.toString(), value }))
        .filter(({ value }) => isReadable(value));
    } catch (error) {
      throwIfAborted(options.signal);
      this.#health.noteFailure(error);
      throw this.#unavailable(error);
    }
  }

  async *watch(
    prefix: string,
    options: { readonly signal: AbortSignal },
  ): AsyncGenerator<DiscoveryEvent, void> {
    this.#throwIfClosed();
    const ended = new AbortController();
    const signal = AbortSignal.any([options.signal, this.#tasks.signal, ended.signal]);
    const view = new RecordView();
    const watch = new EtcdWatch({
      client: this.#client,
      prefix,
      view,
      health: this.#health,
      clock: this.#clock,
      graceMs: this.#ttlSeconds * 1000,
      onResync: () => {
        this.#resyncs.inc();
      },
    });
    this.#startListening();
    this.#tasks.start(`watch ${prefix}`, () => watch.run(signal));
    try {
      yield* view.events(signal);
    } finally {
      ended.abort();
    }
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  /** Ends without removing anything, as a crash would; for tests. */
  async abandon(): Promise<void> {
    await this.#lease.abandon();
    await this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await this.#tasks.close();
    await this.#lease.close();
    this.#client.close();
  }

  /** The first registration starts the lease: a process that only watches needs none. */
  #startWriting(): void {
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#lease.start();
    this.#tasks.start('write records', (signal) => this.#records.run(signal));
  }

  /** A process that only watches hears nothing for as long as nothing changes: it asks now and then. */
  #startListening(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    this.#tasks.start('heartbeat', (signal) => this.#listen(signal));
  }

  /** As often as a lease is renewed, and not beside one. */
  async #listen(signal: AbortSignal): Promise<void> {
    const intervalMs = (this.#ttlSeconds * 1000) / 3;
    for (;;) {
      await this.#clock.sleep(intervalMs, { signal });
      if (this.#isWriting || this.#health.state === 'disconnected') continue;
      await this.#health.check(intervalMs, signal);
    }
  }

  async #remove(key: string, wanted: WantedRecord): Promise<void> {
    const limit = new AbortController();
    const timeout = this.#clock.sleep(REMOVAL_TIMEOUT_MS, { signal: limit.signal });
    const removal = this.#closing ? Promise.resolve() : this.#records.giveUp(key, wanted);
    await Promise.race([removal, timeout]);
    timeout.catch(() => {});
    limit.abort();
  }

  #onLeaseReport(report: EtcdLeaseReport): void {
    switch (report.kind) {
      case 'granted':
        this.#records.useLease(report.leaseId);
        break;
      case 'lost':
        this.#leaseLosses.inc();
        this.#logger.warn('etcd lease was lost; records are put back under a new one');
        this.#records.useLease(undefined);
        break;
      case 'trouble':
        this.#health.noteFailure(new Error(report.message));
        break;
      case 'recovered':
        this.#records.writeAll();
        break;
      case 'closed':
        break;
    }
  }

  #unavailable(cause: unknown): DynamoError {
    const endpoints = this.#options.settings.endpoints.join(', ');
    return new DynamoError(
      'discovery.unavailable',
      `etcd at ${endpoints} did not answer; check that it runs and that ETCD_ENDPOINTS is right`,
      { cause },
    );
  }

  #throwIfClosed(): void {
    if (this.#closing) throw new DynamoError('runtime.closed', 'discovery is closed');
  }
}
