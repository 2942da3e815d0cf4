/**
 * Discovery inside one process: runtimes that share a {@link MemDiscoveryHub} see each other's records. Nothing is
 * ever away, so there are no leases.
 */
import { DynamoError, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';

import type {
  Discovery,
  DiscoveryEvent,
  DiscoveryRecord,
  DiscoveryState,
  Registration,
} from '../discovery.ts';
import { RecordView, isReadable } from '../record-view.ts';

type HubListener = (key: string, value: Uint8Array | undefined) => void;

interface HubEntry {
  readonly value: Uint8Array;
}

/** The store that the runtimes of one process share. */
export class MemDiscoveryHub {
  readonly #entries = new Map<string, HubEntry>();
  readonly #listeners = new Set<HubListener>();

  /** Stores a record; the returned function removes it unless it has been replaced. */
  put(record: DiscoveryRecord): () => void {
    const entry: HubEntry = { value: record.value };
    this.#entries.set(record.key, entry);
    this.#tell(record.key, record.value);
    return () => {
      if (this.#entries.get(record.key) !== entry) return;
      this.#entries.delete(record.key);
      this.#tell(record.key, undefined);
    };
  }

  /** Readable records under the prefix. */
  list(prefix: string): DiscoveryRecord[] {
    const records: DiscoveryRecord[] = [];
    for (const [key, { value }] of this.#entries) {
      if (key.startsWith(prefix) && isReadable(value)) records.push({ key, value });
    }
    return records;
  }

  /** Calls the listener for every later change. @returns unsubscribes */
  onChange(listener: HubListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(key: string, value: Uint8Array | undefined): void {
    for (const listener of this.#listeners) listener(key, value);
  }
}

/** Settings of a {@link MemDiscovery}. */
export interface MemDiscoveryOptions {
  readonly hub: MemDiscoveryHub;
}

/** One runtime's view of the hub. */
export class MemDiscovery implements Discovery {
  readonly backend = 'mem';
  readonly state: DiscoveryState = 'connected';
  readonly #hub: MemDiscoveryHub;
  readonly #registrations = new Set<Registration>();
  readonly #closed = new AbortController();

  constructor(options: MemDiscoveryOptions) {
    this.#hub = options.hub;
  }

  async register(record: DiscoveryRecord, options: AbortOptions = {}): Promise<Registration> {
    this.#throwIfClosed();
    throwIfAborted(options.signal);
    const remove = this.#hub.put(record);
    const close = (): Promise<void> => {
      this.#registrations.delete(registration);
      remove();
      return Promise.resolve();
    };
    const registration: Registration = { close, [Symbol.asyncDispose]: close };
    this.#registrations.add(registration);
    return Promise.resolve(registration);
  }

  async list(prefix: string, options: AbortOptions = {}): Promise<readonly DiscoveryRecord[]> {
    this.#throwIfClosed();
    throwIfAborted(options.signal);
    return Promise.resolve(this.#hub.list(prefix));
  }

  async *watch(
    prefix: string,
    options: { readonly signal: AbortSignal },
  ): AsyncGenerator<DiscoveryEvent, void> {
    const view = new RecordView();
    const off = this.#hub.onChange((key, value) => {
      if (!key.startsWith(prefix)) return;
      if (value === undefined) view.delete(key);
      else view.put(key, value);
    });
    try {
      view.replace(this.#hub.list(prefix));
      view.complete();
      yield* view.events(AbortSignal.any([options.signal, this.#closed.signal]));
    } finally {
      off();
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all([...this.#registrations].map((registration) => registration.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #throwIfClosed(): void {
    if (this.#closed.signal.aborted) {
      throw new DynamoError('runtime.closed', 'discovery is closed');
    }
  }
}
