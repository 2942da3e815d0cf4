/**
 * Lets the readers of many answers take turns, so that what has piled up for some of them does not keep the event loop
 * from everything else: new connections, new requests, their first tokens.
 *
 * Answers come in messages of many requests, and a loop that has fallen behind finds megabytes of them. Read as they come
 * they would make one iteration of a second. Here readers run until the time of an iteration is used up; the others run in
 * the next one, after the loop has looked at its sockets, and then find more in one batch. While nobody waits a reader runs
 * at once, behind those that the same message has woken.
 */

/** Time for readers in one phase of the loop: short beside the 10 ms that a request may take longer through a frontend. */
export const TURN_MS = 2;

/** A queue of readers of one request plane. */
export class ReaderTurns {
  readonly #nowMs: () => number;
  readonly #queue: (() => void)[] = [];
  #endMs = 0;
  #state: 'idle' | 'running' | 'waiting' = 'idle';

  /**
   * Makes an empty queue.
   *
   * @param options.nowMs a monotonic clock
   */
  constructor({ nowMs = () => performance.now() }: { readonly nowMs?: () => number } = {}) {
    this.#nowMs = nowMs;
  }

  /** Whether readers wait for their turn. */
  get busy(): boolean {
    return this.#state === 'waiting' || this.#queue.length > 0;
  }

  /** Queues a reader. `wake` lets it go on in microtasks, all of which count as its turn. */
  enter(wake: () => void): void {
    this.#queue.push(wake);
    if (this.#state !== 'idle') return;
    this.#state = 'running';
    process.nextTick(this.#begin);
  }

  readonly #begin = (): void => {
    this.#state = 'running';
    this.#endMs = this.#nowMs() + TURN_MS;
    this.#next();
  };

  readonly #next = (): void => {
    const wake = this.#queue.shift();
    if (wake === undefined) {
      this.#state = 'idle';
      return;
    }
    wake();
    // A tick that a microtask asks for comes when there are no more microtasks: the reader has done what it can.
    queueMicrotask(this.#afterReader);
  };

  readonly #afterReader = (): void => {
    process.nextTick(this.#goOn);
  };

  readonly #goOn = (): void => {
    if (this.#queue.length === 0 || this.#nowMs() < this.#endMs) {
      this.#next();
      return;
    }
    this.#state = 'waiting';
    setImmediate(this.#begin);
  };
}
