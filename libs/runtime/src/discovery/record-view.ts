/**
 * What a watcher has been told and what it should know by now.
 *
 * A backend writes what it learns, in any order and as often as it likes; the reader gets the difference. So a full
 * re-list costs nothing when nothing changed, a slow reader costs no more memory than the records themselves, and a
 * record that cannot be read keeps its last value (RF 1.3).
 */
import { onAbort } from '@dynamo-ts/base';

import type { DiscoveryEvent, DiscoveryRecord } from './discovery.ts';

/** The records under one prefix, read as events by one consumer. */
export class RecordView {
  readonly #current = new Map<string, Uint8Array>();
  readonly #reported = new Map<string, Uint8Array>();
  readonly #changed = new Set<string>();
  #snapshot: 'incomplete' | 'complete' | 'reported' = 'incomplete';
  #wake: (() => void) | undefined;

  /** Keys that are there. */
  keys(): IterableIterator<string> {
    return this.#current.keys();
  }

  /** Adds or replaces a record; one that is not JSON is ignored. */
  put(key: string, value: Uint8Array): void {
    if (!isReadable(value)) return;
    this.#current.set(key, value);
    this.#touch(key);
  }

  /** Removes a record. */
  delete(key: string): void {
    if (this.#current.delete(key)) this.#touch(key);
  }

  /** Takes a complete list: what is not in it is gone, unless `keeps` says that it stays for now. */
  replace(
    records: readonly DiscoveryRecord[],
    keeps: (key: string) => boolean = () => false,
  ): void {
    const listed = new Set<string>();
    for (const { key, value } of records) {
      listed.add(key);
      this.put(key, value);
    }
    for (const key of [...this.#current.keys()]) {
      if (!listed.has(key) && !keeps(key)) this.delete(key);
    }
  }

  /** Says that the first snapshot is in the view. */
  complete(): void {
    if (this.#snapshot !== 'incomplete') return;
    this.#snapshot = 'complete';
    this.#wake?.();
  }

  /** The difference to what this iterator gave before, until the signal aborts. */
  async *events(signal: AbortSignal): AsyncGenerator<DiscoveryEvent, void> {
    const isAborted = (): boolean => signal.aborted;
    while (!isAborted()) {
      const isComplete = this.#snapshot === 'complete';
      for (const key of [...this.#changed]) {
        this.#changed.delete(key);
        const event = this.#difference(key);
        if (event) yield event;
        if (isAborted()) return;
      }
      if (isComplete) {
        this.#snapshot = 'reported';
        yield { kind: 'ready' };
      } else if (this.#changed.size === 0) {
        await this.#nextChange(signal);
      }
    }
  }

  #touch(key: string): void {
    this.#changed.add(key);
    this.#wake?.();
  }

  #difference(key: string): DiscoveryEvent | undefined {
    const value = this.#current.get(key);
    const reported = this.#reported.get(key);
    if (value === undefined) {
      return this.#reported.delete(key) ? { kind: 'delete', key } : undefined;
    }
    if (reported !== undefined && Buffer.compare(reported, value) === 0) return undefined;
    this.#reported.set(key, value);
    return { kind: 'put', key, value };
  }

  async #nextChange(signal: AbortSignal): Promise<void> {
    if (this.#snapshot === 'complete') return;
    await new Promise<void>((resolve) => {
      const off = onAbort(signal, () => this.#wake?.());
      this.#wake = () => {
        this.#wake = undefined;
        off();
        resolve();
      };
      if (signal.aborted) this.#wake();
    });
  }
}

/** Whether a record's value is whole: JSON text. */
export function isReadable(value: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
    return true;
  } catch {
    return false;
  }
}
