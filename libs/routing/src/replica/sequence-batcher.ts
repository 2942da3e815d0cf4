/** Collects events for a moment, so that a burst of requests is one message (RP 4.7: at most 256 events or 1 ms). */
import type { ActiveSequenceEvent } from '@dynamo-ts/protocol';

const MOST_EVENTS = 256;

/** Two of these and one prompt of the greatest length fit into a message of the event plane (1 MiB in NATS). */
const MOST_BYTES = 192 * 1024;

const DELAY_MS = 1;

/** Sends events together. */
export class SequenceBatcher implements Disposable {
  readonly #send: (events: readonly ActiveSequenceEvent[]) => void;
  #events: ActiveSequenceEvent[] = [];
  #sizeBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(send: (events: readonly ActiveSequenceEvent[]) => void) {
    this.#send = send;
  }

  push(event: ActiveSequenceEvent): void {
    this.#events.push(event);
    this.#sizeBytes += sizeOf(event);
    if (this.#events.length >= MOST_EVENTS || this.#sizeBytes >= MOST_BYTES) {
      this.flush();
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.flush();
    }, DELAY_MS);
  }

  /** Sends what there is now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.#sizeBytes = 0;
    this.#send(events);
  }

  /** Drops what there is. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#events = [];
  }
}

function sizeOf({ data }: ActiveSequenceEvent): number {
  return data?.$case === 'added' ? data.value.blockHashesLe.byteLength + 64 : 64;
}
