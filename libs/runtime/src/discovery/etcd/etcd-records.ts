/**
 * The records this process wants in etcd, and the one writer that makes it so.
 *
 * Wishes may change at any time; the writer works through the keys whose stored state may differ, one after the other,
 * under the current lease, and tries again until it has succeeded. A new lease makes every key differ.
 */
import { Backoff, onAbort } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import { EtcdLeaseInvalidError } from 'etcd3';
import type { Etcd3 } from 'etcd3';

import type { DiscoveryRecord } from '../discovery.ts';
import type { EtcdHealth } from './etcd-health.ts';

/** Settings of an {@link EtcdRecords}. */
export interface EtcdRecordsOptions {
  readonly client: Etcd3;
  readonly health: EtcdHealth;
  readonly clock: Clock;
  /** Told when etcd does not know the lease that the keeper believes in. */
  readonly onLeaseUnknown: () => void;
}

/** A wish for one record. */
export interface WantedRecord {
  readonly value: Uint8Array;
  /** Resolves when it is in etcd for the first time, or was replaced by another wish. */
  readonly stored: Promise<void>;
}

interface Wish extends WantedRecord {
  readonly markStored: () => void;
}

/** See the file comment. */
export class EtcdRecords {
  readonly #options: EtcdRecordsOptions;
  readonly #wishes = new Map<string, Wish>();
  readonly #differing = new Set<string>();
  readonly #removals = new Map<string, PromiseWithResolvers<void>>();
  #leaseId: string | undefined;
  #wake: (() => void) | undefined;

  constructor(options: EtcdRecordsOptions) {
    this.#options = options;
  }

  /** Wants a record; an earlier wish for the key is replaced. */
  want({ key, value }: DiscoveryRecord): WantedRecord {
    const stored: PromiseWithResolvers<void> = Promise.withResolvers();
    const wish: Wish = { value, stored: stored.promise, markStored: stored.resolve };
    this.#wishes.get(key)?.markStored();
    this.#wishes.set(key, wish);
    this.#touch(key);
    return wish;
  }

  /** Gives a wish up unless it was replaced. @returns when the record is out of etcd */
  async giveUp(key: string, wanted: WantedRecord): Promise<void> {
    if (this.#wishes.get(key) !== wanted) return;
    this.#wishes.delete(key);
    const removal: PromiseWithResolvers<void> = this.#removals.get(key) ?? Promise.withResolvers();
    this.#removals.set(key, removal);
    this.#touch(key);
    await removal.promise;
  }

  /** Uses a lease from now on and writes every record under it; undefined while there is none. */
  useLease(leaseId: string | undefined): void {
    this.#leaseId = leaseId;
    if (leaseId !== undefined) this.writeAll();
  }

  /** Writes every record again, for an etcd that came back and may have lost some. */
  writeAll(): void {
    for (const key of this.#wishes.keys()) this.#touch(key);
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    while (!signal.aborted) {
      const [key] = this.#differing;
      if (key === undefined || this.#leaseId === undefined) {
        await this.#nextWish(signal);
        continue;
      }
      this.#differing.delete(key);
      try {
        await this.#write(key, this.#leaseId);
        this.#options.health.noteAnswer();
        backoff.reset();
      } catch (error) {
        this.#differing.add(key);
        this.#noteFailure(error);
        await this.#options.clock.sleep(backoff.nextMs(), { signal }).catch(() => {});
      }
    }
    for (const removal of this.#removals.values()) removal.resolve();
    for (const wish of this.#wishes.values()) wish.markStored();
  }

  async #write(key: string, leaseId: string): Promise<void> {
    const { client } = this.#options;
    const wish = this.#wishes.get(key);
    if (wish) {
      await client.put(key).value(Buffer.from(wish.value)).lease(leaseId);
      wish.markStored();
    } else {
      // Only what this process wrote: another process may have taken the key over.
      await client.if(key, 'Lease', '==', leaseId).then(client.delete().key(key)).commit();
    }
    if (this.#differing.has(key)) return;
    this.#removals.get(key)?.resolve();
    this.#removals.delete(key);
  }

  #noteFailure(error: unknown): void {
    if (error instanceof EtcdLeaseInvalidError) {
      this.#leaseId = undefined;
      this.#options.onLeaseUnknown();
    } else {
      this.#options.health.noteFailure(error);
    }
  }

  #touch(key: string): void {
    this.#differing.add(key);
    this.#wake?.();
  }

  async #nextWish(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const off = onAbort(signal, resolve);
      this.#wake = () => {
        if (this.#leaseId === undefined) return;
        this.#wake = undefined;
        off();
        resolve();
      };
    });
  }
}
