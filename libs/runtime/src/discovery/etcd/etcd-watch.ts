/**
 * Keeps a view of one key prefix current: list, then watch from the next revision; whenever the watch ends for whatever
 * reason, list again and let the view find the difference.
 *
 * It does not trust a watch to survive a reconnect: one that resumes on an etcd whose data was wiped waits for a
 * revision that is far in the future and delivers nothing. What vanishes while etcd is out of reach, or just after, need
 * not be dead: a wiped etcd has forgotten processes that live, and one that lives on behind a cut network lets their
 * leases end. Such records stay in the view for a grace time in which they register again: the whole of it after etcd's
 * last return, for a second cut takes the time that the first one left.
 */
import { Backoff, onAbort } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { Etcd3, IResponseHeader, IWatchResponse } from 'etcd3';

import type { RecordView } from '../record-view.ts';
import type { EtcdHealth } from './etcd-health.ts';
import { prefixRange } from './etcd-range.ts';

/** Settings of an {@link EtcdWatch}. */
export interface EtcdWatchOptions {
  readonly client: Etcd3;
  readonly prefix: string;
  readonly view: RecordView;
  readonly health: EtcdHealth;
  readonly clock: Clock;
  /** How long records that vanished while etcd was out of reach have to come back. */
  readonly graceMs: number;
  /** Called for every list but the first. */
  readonly onResync: () => void;
}

/** See the file comment. */
export class EtcdWatch {
  readonly #options: EtcdWatchOptions;
  readonly #backoff = new Backoff();
  /** In the view and not in etcd, until the grace time is over. */
  readonly #missing = new Set<string>();
  #clusterId: string | undefined;
  #revision = 0n;
  /** Runs while records are missing. */
  #grace: Promise<void> | undefined;

  constructor(options: EtcdWatchOptions) {
    this.#options = options;
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { health, clock } = this.#options;
    while (!signal.aborted) {
      try {
        const nextRevision = await this.#list(signal);
        health.noteAnswer();
        await this.#follow(nextRevision, signal);
      } catch (error) {
        health.noteFailure(error);
      }
      await clock.sleep(this.#backoff.nextMs(), { signal }).catch(() => {});
    }
    await this.#grace;
  }

  /** Takes a full list into the view. @returns the revision to watch from */
  async #list(signal: AbortSignal): Promise<bigint> {
    const { client, prefix, view, onResync } = this.#options;
    const response = await client.kv.range(prefixRange(prefix));
    if (this.#clusterId !== undefined) onResync();
    const listed = new Set(response.kvs.map(({ key }) => key.toString()));
    for (const key of listed) this.#missing.delete(key);
    if (this.#isWiped(response.header) || this.#settlesInMs() > 0)
      for (const key of view.keys()) if (!listed.has(key)) this.#spare(key, signal);
    view.replace(
      response.kvs.map(({ key, value }) => ({ key: key.toString(), value })),
      (key) => this.#missing.has(key),
    );
    view.complete();
    this.#clusterId = response.header.cluster_id;
    this.#revision = BigInt(response.header.revision);
    return this.#revision + 1n;
  }

  #isWiped(header: IResponseHeader): boolean {
    if (this.#clusterId === undefined) return false;
    return header.cluster_id !== this.#clusterId || BigInt(header.revision) < this.#revision;
  }

  #settlesInMs(): number {
    const { graceMs, health } = this.#options;
    return health.settlesInMs(graceMs);
  }

  /** Keeps a record that has vanished for the grace time. */
  #spare(key: string, signal: AbortSignal): void {
    this.#missing.add(key);
    this.#grace ??= this.#endGrace(signal).catch(() => undefined);
  }

  /** While etcd is away again, or has just come back again, nobody can say who is dead. */
  async #endGrace(signal: AbortSignal): Promise<void> {
    const { clock, graceMs, view } = this.#options;
    for (let leftMs = graceMs; leftMs > 0; leftMs = this.#settlesInMs())
      await clock.sleep(leftMs, { signal });
    this.#grace = undefined;
    for (const key of this.#missing) view.delete(key);
    this.#missing.clear();
  }

  /** Watches from a revision; returns or throws when the watch has ended. */
  async #follow(revision: bigint, signal: AbortSignal): Promise<void> {
    const stream = await this.#options.client.watchClient.watch();
    const ended: PromiseWithResolvers<void> = Promise.withResolvers();
    const end = (): void => {
      ended.resolve();
    };
    stream.on('error', ended.reject);
    stream.on('end', end);
    stream.on('data', (response) => {
      if (response.canceled)
        ended.reject(new Error(`etcd cancelled the watch: ${reasonOf(response)}`));
      else this.#apply(response, signal);
    });
    const off = onAbort(signal, end);
    stream.write({
      create_request: { ...prefixRange(this.#options.prefix), start_revision: String(revision) },
    });
    try {
      await ended.promise;
    } finally {
      off();
      stream.end();
      stream.cancel();
    }
  }

  #apply(response: IWatchResponse, signal: AbortSignal): void {
    const { view } = this.#options;
    this.#backoff.reset();
    const revision = BigInt(response.header.revision);
    if (revision > this.#revision) this.#revision = revision;
    for (const { type, kv } of response.events) {
      const key = kv.key.toString();
      if (type === 'Delete' && this.#settlesInMs() > 0) {
        this.#spare(key, signal);
        continue;
      }
      this.#missing.delete(key);
      if (type === 'Delete') view.delete(key);
      else view.put(key, kv.value);
    }
  }
}

function reasonOf(response: IWatchResponse): string {
  return response.compact_revision === '0'
    ? response.cancel_reason
    : `compacted at revision ${response.compact_revision}`;
}
