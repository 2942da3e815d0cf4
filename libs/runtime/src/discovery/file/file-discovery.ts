/**
 * Discovery through a directory, for several processes of one machine without a broker (RF 1.3).
 *
 * A record is a file whose modification time its owner keeps fresh from a thread of its own. Records of a process that
 * crashed vanish after the TTL; whoever sees them removes them.
 */
import { Backoff, DynamoError, systemClock, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions, Clock } from '@dynamo-ts/base';
import { MetricsRegistry } from '@dynamo-ts/telemetry';
import type { Logger } from '@dynamo-ts/telemetry';

import type {
  Discovery,
  DiscoveryEvent,
  DiscoveryRecord,
  DiscoveryState,
  Registration,
} from '../discovery.ts';
import { DISCOVERY_METRICS } from '../metrics.ts';
import { RecordView } from '../record-view.ts';
import { BucketScanner } from './bucket-scanner.ts';
import { BucketWatcher } from './bucket-watcher.ts';
import { FileLease } from './file-lease.ts';
import { bucketFolder, recordPath, splitKey } from './file-names.ts';

/** Settings of a {@link FileDiscovery}. */
export interface FileDiscoveryOptions {
  /** Directory shared by the processes; made when missing. */
  readonly rootPath: string;
  /** How long a record outlives its process's last heartbeat. @default 10000 */
  readonly ttlMs?: number | undefined;
  /** @default max(ttlMs / 3, 1000) */
  readonly heartbeatMs?: number | undefined;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  readonly clock?: Clock | undefined;
}

const DEFAULT_TTL_MS = 10_000;
const MIN_HEARTBEAT_MS = 1000;
/** One process's part of the directory. */
export class FileDiscovery implements Discovery {
  readonly backend = 'file';
  readonly #rootPath: string;
  readonly #ttlMs: number;
  readonly #heartbeatMs: number;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #countExpired: () => void;
  readonly #lease: FileLease;
  readonly #owners = new Map<string, Registration>();
  readonly #watchers = new Map<string, BucketWatcher>();
  readonly #closed = new AbortController();
  #isReachable = true;
  #closing: Promise<void> | undefined;

  constructor(options: FileDiscoveryOptions) {
    this.#rootPath = options.rootPath;
    this.#ttlMs = options.ttlMs ?? DEFAULT_TTL_MS;
    this.#heartbeatMs = options.heartbeatMs ?? Math.max(this.#ttlMs / 3, MIN_HEARTBEAT_MS);
    this.#logger = options.logger.child({ target: 'dynamo_runtime::discovery' });
    this.#clock = options.clock ?? systemClock;
    const metrics = options.metrics ?? new MetricsRegistry();
    const expired = metrics
      .counter(DISCOVERY_METRICS.expiredRecordsTotal)
      .bind({ backend: this.backend });
    this.#countExpired = () => {
      expired.inc();
    };
    this.#lease = new FileLease({ heartbeatMs: this.#heartbeatMs, logger: this.#logger });
  }

  get state(): DiscoveryState {
    return this.#isReachable ? 'connected' : 'disconnected';
  }

  async register(record: DiscoveryRecord, options: AbortOptions = {}): Promise<Registration> {
    const path = recordPath(this.#rootPath, record.key);
    const close = async (): Promise<void> => {
      if (this.#owners.get(path) !== registration) return;
      this.#owners.delete(path);
      await this.#lease.remove(path);
    };
    const registration: Registration = { close, [Symbol.asyncDispose]: close };
    await this.#write(path, record, options.signal);
    this.#owners.set(path, registration);
    return registration;
  }

  async list(prefix: string, options: AbortOptions = {}): Promise<readonly DiscoveryRecord[]> {
    this.#throwIfClosed();
    throwIfAborted(options.signal);
    const { bucket, rest: restPrefix } = splitKey(prefix);
    const records: DiscoveryRecord[] = [];
    try {
      for (const finding of await this.#scanner(bucket).scan()) {
        if (finding.kind !== 'record' || !finding.rest.startsWith(restPrefix)) continue;
        records.push({ key: `${bucket}/${finding.rest}`, value: finding.value });
      }
    } catch (error) {
      throw new DynamoError(
        'discovery.unavailable',
        `discovery directory ${this.#rootPath} cannot be read; check that it is a readable directory`,
        { cause: error },
      );
    }
    return records;
  }

  async *watch(
    prefix: string,
    options: { readonly signal: AbortSignal },
  ): AsyncGenerator<DiscoveryEvent, void> {
    this.#throwIfClosed();
    const { bucket, rest: restPrefix } = splitKey(prefix);
    const view = new RecordView();
    const watcher = this.#watcher(bucket);
    const unfollow = watcher.follow({ view, restPrefix, keyOf: (rest) => `${bucket}/${rest}` });
    try {
      yield* view.events(AbortSignal.any([options.signal, this.#closed.signal]));
    } finally {
      unfollow();
      await this.#releaseWatcher(bucket, watcher);
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
    this.#closed.abort();
    await this.#lease.close();
    this.#owners.clear();
    await Promise.all([...this.#watchers.values()].map((watcher) => watcher.close()));
  }

  async #write(
    path: string,
    { key, value }: DiscoveryRecord,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const backoff = new Backoff();
    for (;;) {
      this.#throwIfClosed();
      throwIfAborted(signal);
      const errorCode = await this.#lease.put(path, value);
      this.#isReachable = errorCode === undefined;
      if (errorCode === undefined) return;
      if (errorCode === 'ENAMETOOLONG') {
        throw new DynamoError(
          'config.invalid',
          `record ${key} is too long for a file name; choose shorter names or another DYN_DISCOVERY_BACKEND`,
        );
      }
      if (backoff.attempt === 0) {
        this.#logger.warn('Discovery record cannot be written; trying again', { path, errorCode });
      }
      await this.#clock.sleep(backoff.nextMs(), { signal });
    }
  }

  #watcher(bucket: string): BucketWatcher {
    let watcher = this.#watchers.get(bucket);
    if (!watcher) {
      watcher = new BucketWatcher({
        folderPath: bucketFolder(this.#rootPath, bucket),
        scanner: this.#scanner(bucket),
        scanIntervalMs: this.#heartbeatMs,
        clock: this.#clock,
        logger: this.#logger,
        onState: (isReachable) => (this.#isReachable = isReachable),
      });
      this.#watchers.set(bucket, watcher);
      watcher.start();
    }
    return watcher;
  }

  async #releaseWatcher(bucket: string, watcher: BucketWatcher): Promise<void> {
    if (watcher.size > 0) return;
    if (this.#watchers.get(bucket) === watcher) this.#watchers.delete(bucket);
    await watcher.close();
  }

  #scanner(bucket: string): BucketScanner {
    return new BucketScanner({
      folderPath: bucketFolder(this.#rootPath, bucket),
      ttlMs: this.#ttlMs,
      clock: this.#clock,
      onExpired: (fileName) => {
        this.#countExpired();
        this.#logger.info('Removed the record of a process that has gone', { bucket, fileName });
      },
    });
  }

  #throwIfClosed(): void {
    if (this.#closed.signal.aborted) {
      throw new DynamoError('runtime.closed', 'discovery is closed');
    }
  }
}
