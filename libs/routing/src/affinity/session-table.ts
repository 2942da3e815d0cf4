/**
 * Bounded table of sessions and the workers that they are bound to. A binding ends when it was idle for the TTL; requests
 * that run hold it. The least recently used idle one goes when there are too many.
 */
import type { InstanceId } from '@dynamo-ts/base';

/** Where a session is bound to. */
export interface BoundRank {
  readonly instanceId: InstanceId;
  readonly dpRank?: number | undefined;
}

/** A session's binding. */
export interface Binding extends BoundRank {
  /** Unix milliseconds. */
  readonly boundAtMs: number;
  /** Requests of this router that run on it. */
  active: number;
  /** Monotonic; when the last request ended. */
  idleSinceMs: number;
  /** Monotonic; when other routers were last told of it. */
  announcedAtMs: number;
}

/** Why a binding ended. */
export type BindingEnd = 'expired' | 'failed' | 'gone' | 'moved' | 'evicted';

/** Settings of a {@link SessionTable}. */
export interface SessionTableOptions {
  readonly ttlMs: number;
  readonly capacity: number;
  readonly onEnded: (reason: BindingEnd) => void;
}

/** How many of the least recently used sessions one call looks at. */
const SWEEP = 4;

/** Sessions by their key. */
export class SessionTable {
  readonly #options: SessionTableOptions;
  /** Least recently used first. */
  readonly #bindings = new Map<string, Binding>();
  /** Keys of the sessions that are bound to each worker. */
  readonly #byInstance = new Map<InstanceId, Set<string>>();

  constructor(options: SessionTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#bindings.size;
  }

  /** A session's binding, if it lives. */
  get(key: string, nowMs: number): Binding | undefined {
    const binding = this.#bindings.get(key);
    if (binding === undefined || !this.#isExpired(binding, nowMs)) return binding;
    this.end(key, 'expired');
    return undefined;
  }

  /** Binds a session, or binds it anew. */
  set(key: string, binding: Binding, nowMs: number): void {
    this.#remove(key);
    this.#bindings.set(key, binding);
    const keys = this.#byInstance.get(binding.instanceId) ?? new Set<string>();
    this.#byInstance.set(binding.instanceId, keys.add(key));
    this.#sweep(nowMs);
    if (this.#bindings.size > this.#options.capacity) this.#evict();
  }

  /** Makes a session the most recently used. */
  touch(key: string, nowMs: number): void {
    const binding = this.#bindings.get(key);
    if (binding === undefined) return;
    binding.idleSinceMs = nowMs;
    this.#bindings.delete(key);
    this.#bindings.set(key, binding);
  }

  /** Ends a binding. @returns whether there was one */
  end(key: string, reason: BindingEnd): boolean {
    if (!this.#remove(key)) return false;
    this.#options.onEnded(reason);
    return true;
  }

  /** Ends the bindings to a worker. */
  endInstance(id: InstanceId): void {
    for (const key of this.#byInstance.get(id) ?? []) this.end(key, 'gone');
  }

  #remove(key: string): boolean {
    const binding = this.#bindings.get(key);
    if (binding === undefined) return false;
    this.#bindings.delete(key);
    const keys = this.#byInstance.get(binding.instanceId);
    keys?.delete(key);
    if (keys?.size === 0) this.#byInstance.delete(binding.instanceId);
    return true;
  }

  #isExpired({ active, idleSinceMs }: Binding, nowMs: number): boolean {
    return active === 0 && nowMs - idleSinceMs >= this.#options.ttlMs;
  }

  /** Idle sessions that nobody asks for again leave a few at a time. */
  #sweep(nowMs: number): void {
    let looked = 0;
    for (const [key, binding] of this.#bindings) {
      if (looked++ === SWEEP) return;
      if (this.#isExpired(binding, nowMs)) this.end(key, 'expired');
      else if (binding.active > 0) this.#toEnd(key, binding);
      else return;
    }
  }

  #toEnd(key: string, binding: Binding): void {
    this.#bindings.delete(key);
    this.#bindings.set(key, binding);
  }

  #evict(): void {
    const [oldest] = this.#bindings.keys();
    if (oldest !== undefined) this.end(oldest, 'evicted');
  }
}
