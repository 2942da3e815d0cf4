/**
 * The discovery plane: small records under a lease, and a view of a key prefix that is kept current.
 *
 * Every backend (memory, file, etcd) passes one contract suite. Guarantees: a record registered here stays until it is
 * unregistered or this process is gone, across lost leases and restarts of the store; a watch reports the difference
 * between what it last reported and what is there, also after a reconnect; an unreadable record keeps its last value.
 */
import type { AbortOptions } from '@dynamo-ts/base';

/** One record: a key and its JSON bytes. */
export interface DiscoveryRecord {
  readonly key: string;
  readonly value: Uint8Array;
}

/** A change under a watched prefix. `put` is an upsert. */
export type DiscoveryEvent =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: string }
  /** The first snapshot has been reported completely; sent once. */
  | { readonly kind: 'ready' };

/** A record that this process keeps in the store. */
export interface Registration extends AsyncDisposable {
  /** Removes the record. Idempotent. */
  close(): Promise<void>;
}

/** Whether the store answers, for `/health` and for the rule that known instances stay while it is away. */
export type DiscoveryState = 'connected' | 'disconnected';

/** A discovery backend. */
export interface Discovery extends AsyncDisposable {
  readonly backend: 'etcd' | 'file' | 'mem';
  readonly state: DiscoveryState;
  /** Keeps a record in the store until closed; waits for the store when it is away. A second registration replaces. */
  register(record: DiscoveryRecord, options?: AbortOptions): Promise<Registration>;
  /** All records under the prefix now. @throws `discovery.unavailable` */
  list(prefix: string, options?: AbortOptions): Promise<readonly DiscoveryRecord[]>;
  /** The records under the prefix as `put`s, then `ready`, then changes until aborted. Never ends by itself. */
  watch(prefix: string, options: { readonly signal: AbortSignal }): AsyncIterable<DiscoveryEvent>;
  /** Removes this process's records and ends its watches. Idempotent. */
  close(): Promise<void>;
}
