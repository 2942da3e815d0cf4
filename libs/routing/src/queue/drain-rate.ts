/** What a client that is refused may be told when to come back. */
const LONGEST_RETRY_AFTER_SECONDS = 60;

/** Weight of the newest rate. */
const SMOOTHING = 0.3;

/** How fast requests leave the queue, smoothed over seconds. */
export class DrainRate {
  #perSecond = 0;
  #count = 0;
  #sinceMs: number;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** A request was placed. */
  placed(nowMs: number): void {
    this.#count += 1;
    this.#roll(nowMs);
  }

  /** Seconds until so many waiting requests will be gone: 1 to 60. */
  retryAfterSeconds(waiting: number, nowMs: number): number {
    this.#roll(nowMs);
    if (this.#perSecond <= 0) return waiting === 0 ? 1 : LONGEST_RETRY_AFTER_SECONDS;
    const seconds = Math.ceil(waiting / this.#perSecond);
    return Math.min(LONGEST_RETRY_AFTER_SECONDS, Math.max(1, seconds));
  }

  #roll(nowMs: number): void {
    const seconds = (nowMs - this.#sinceMs) / 1000;
    if (seconds < 1) return;
    const rate = this.#count / seconds;
    this.#perSecond = this.#perSecond === 0 ? rate : mix(this.#perSecond, rate);
    this.#sinceMs = nowMs;
    this.#count = 0;
  }
}

function mix(old: number, fresh: number): number {
  return old + (fresh - old) * SMOOTHING;
}
