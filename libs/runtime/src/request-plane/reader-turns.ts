/**
 * Lets the readers of many answers take turns, so that what has piled up for some of them does not keep the event loop
 * from everything else: new connections, new requests, their first tokens.
 *
 * Answers come in messages of many requests, and a loop that has fallen behind finds megabytes of them. Read as they come
 * they would make one iteration of a second. Here readers run until the time of an iteration is used up; the others run in
 * the next one, after the loop has looked at its sockets, and then find more in one batch. While nobody waits a reader runs
 * at once, behind those that the same message has woken.
 *
 * Node takes one new connection per listener and iteration. While they keep coming readers give way for some iterations, or
 * the last of a hundred clients that connect together would wait for a hundred turns.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';

/** Where Node tells that a server of this process has taken a connection. */
const CONNECTIONS_CHANNEL = 'net.server.socket';

/** Time for readers in one phase of the loop: short beside the 10 ms that a request may take longer through a frontend. */
export const TURN_MS = 2;

/** Longest time for which readers give way to new connections at a stretch; half of what a request may take longer. */
export const GIVE_WAY_MS = 5;

/** A queue of readers of one request plane. */
export class ReaderTurns implements Disposable {
  readonly #nowMs: () => number;
  readonly #queue: (() => void)[] = [];
  #endMs = 0;
  /** Since when the next reader waits. */
  #waitMs = 0;
  #hasConnection = false;
  #state: 'idle' | 'running' | 'waiting' = 'idle';

  /**
   * Makes an empty queue, which is to be closed when it is needed no more.
   *
   * @param options.nowMs a monotonic clock
   */
  constructor({ nowMs = () => performance.now() }: { readonly nowMs?: () => number } = {}) {
    this.#nowMs = nowMs;
    subscribe(CONNECTIONS_CHANNEL, this.#onConnection);
  }

  /** Listens to connections no more; readers still have their turns. Idempotent. */
  close(): void {
    unsubscribe(CONNECTIONS_CHANNEL, this.#onConnection);
    this.#hasConnection = false;
  }

  [Symbol.dispose](): void {
    this.close();
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
    this.#waitMs = this.#nowMs();
    process.nextTick(this.#begin);
  }

  readonly #begin = (): void => {
    const nowMs = this.#nowMs();
    if (this.#hasConnection && nowMs - this.#waitMs < GIVE_WAY_MS) {
      this.#hasConnection = false;
      this.#state = 'waiting';
      setImmediate(this.#begin);
      return;
    }
    this.#state = 'running';
    this.#endMs = nowMs + TURN_MS;
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
    this.#waitMs = this.#nowMs();
    setImmediate(this.#begin);
  };

  readonly #onConnection = (): void => {
    this.#hasConnection = true;
  };
}
