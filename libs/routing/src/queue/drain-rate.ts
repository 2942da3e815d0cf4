/** What a client that is refused may be told when to come back. */
const LONGEST_RETRY_AFTER_SECONDS = 60;

/** What it is told before anything has left the queue. */
const FIRST_RETRY_AFTER_SECONDS = 5;

/** Weight of the newest rate. */
const SMOOTHING = 0.3;

/** How fast requests leave the queue while it is not empty, smoothed over seconds. */
export class DrainRate {
  #perSecond: number | undefined;
  #count = 0;
  #sinceMs = 0;

  /** The queue was empty and is not any more. */
  began(nowMs: number): void {
    this.#sinceMs = nowMs;
    this.#count = 0;
  }

  /** A request was placed. */
  placed(nowMs: number): void {
    this.#count += 1;
    this.#roll(nowMs);
  }

  /** Seconds until so many waiting requests will be gone: 1 to 60. */
  retryAfterSeconds(waiting: number, nowMs: number): number {
    if (waiting === 0) return 1;
    this.#roll(nowMs);
    if (this.#perSecond === undefined) return FIRST_RETRY_AFTER_SECONDS;
    const seconds = Math.ceil(waiting / this.#perSecond);
    return Math.min(LONGEST_RETRY_AFTER_SECONDS, Math.max(1, seconds));
  }

  #roll(nowMs: number): void {
    const seconds = (nowMs - this.#sinceMs) / 1000;
    if (seconds < 1) return;
    const rate = this.#count / seconds;
    const old = this.#perSecond ?? rate;
    this.#perSecond = old + (rate - old) * SMOOTHING;
    this.#sinceMs = nowMs;
    this.#count = 0;
  }
}
