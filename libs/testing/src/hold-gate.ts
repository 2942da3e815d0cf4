/**
 * A door that a test holds shut: code under test waits at it, the test sees who waits and lets them through one by one
 * or all. It replaces sleeping.
 */
import { onAbort, throwIfAborted, abortError } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';

/** See the file comment. Starts shut. */
export class HoldGate {
  readonly #waiting: (() => void)[] = [];
  readonly #arrivals: { readonly count: number; readonly resolve: () => void }[] = [];
  #open = false;
  #arrived = 0;

  /** How many have come to the gate since it was made. */
  get arrived(): number {
    return this.#arrived;
  }

  /** How many wait now. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Passes when the gate is open or this caller is released. */
  async pass(options: AbortOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    this.#arrived += 1;
    for (const arrival of this.#arrivals) if (this.#arrived >= arrival.count) arrival.resolve();
    if (this.#open) return;
    await new Promise<void>((resolve, reject) => {
      const enter = (): void => {
        off();
        resolve();
      };
      const off = onAbort(options.signal, () => {
        const index = this.#waiting.indexOf(enter);
        if (index >= 0) this.#waiting.splice(index, 1);
        if (options.signal) reject(abortError(options.signal));
      });
      this.#waiting.push(enter);
    });
  }

  /** Resolves when `count` callers in all have come to the gate. */
  async arrivals(count: number): Promise<void> {
    if (this.#arrived >= count) return;
    await new Promise<void>((resolve) => this.#arrivals.push({ count, resolve }));
  }

  /** Lets the longest waiting `count` callers pass. */
  release(count = 1): void {
    for (const enter of this.#waiting.splice(0, count)) enter();
  }

  /** Lets everyone pass, now and later. */
  open(): void {
    this.#open = true;
    this.release(this.#waiting.length);
  }

  /** Holds later callers again. */
  shut(): void {
    this.#open = false;
  }
}
