/** Settings of a {@link Backoff}. */
export interface BackoffOptions {
  /** First delay. @default 100 */
  readonly initialMs?: number;
  /** Longest delay. @default 1000 */
  readonly maxMs?: number;
  /** Growth per attempt. @default 2 */
  readonly factor?: number;
  /** Share of a delay that is random, 0 to 1, so that many clients do not return at once. @default 0.2 */
  readonly jitterRatio?: number;
  readonly random?: () => number;
}

/** Exponential back-off with jitter: ask for the next delay, reset after success. */
export class Backoff {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #factor: number;
  readonly #jitterRatio: number;
  readonly #random: () => number;
  #attempt = 0;

  constructor(options: BackoffOptions = {}) {
    this.#initialMs = options.initialMs ?? 100;
    this.#maxMs = options.maxMs ?? 1000;
    this.#factor = options.factor ?? 2;
    this.#jitterRatio = options.jitterRatio ?? 0.2;
    this.#random = options.random ?? Math.random;
  }

  /** Delays given since the last reset. */
  get attempt(): number {
    return this.#attempt;
  }

  /** The next delay in milliseconds. */
  nextMs(): number {
    const plain = Math.min(this.#initialMs * this.#factor ** this.#attempt, this.#maxMs);
    this.#attempt += 1;
    return plain * (1 - this.#jitterRatio * this.#random());
  }

  /** Starts again from the first delay. */
  reset(): void {
    this.#attempt = 0;
  }
}
