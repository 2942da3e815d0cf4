import type { SseWriter } from './sse-writer.ts';

/** Sends comments into streams that have been silent for an interval; one timer for all of them. */
export class SseKeepAlive implements Disposable {
  readonly #intervalMs: number;
  readonly #writers = new Set<SseWriter>();
  readonly #timer: NodeJS.Timeout | undefined;

  /** Starts the timer; an interval of 0 is off. */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
    if (intervalMs === 0) return;
    const everyMs = Math.max(1, Math.ceil(intervalMs / 4));
    this.#timer = setInterval(() => this.#sweep(performance.now()), everyMs).unref();
  }

  /** Watches a stream. @returns forgets it */
  watch(writer: SseWriter): () => void {
    this.#writers.add(writer);
    return () => this.#writers.delete(writer);
  }

  /** Stops. Idempotent. */
  close(): void {
    clearInterval(this.#timer);
    this.#writers.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #sweep(nowMs: number): void {
    for (const writer of this.#writers) {
      if (nowMs - writer.lastWriteMs >= this.#intervalMs) writer.keepAlive(nowMs);
    }
  }
}
