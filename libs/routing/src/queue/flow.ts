import { IndexedHeap } from './indexed-heap.ts';
import { compareEntries } from './queue-entry.ts';
import type { QueueEntry } from './queue-entry.ts';

/** What decides whether a request that is first may go. */
export interface QueueGate {
  /** Whether there is room for requests of these conditions. */
  isOpen(entry: QueueEntry): boolean;
  /** Looks at the caches again when the last look is old. @returns whether the entry's order may have changed */
  refresh(entry: QueueEntry): boolean;
}

/**
 * Waiting requests that share turns. They stand in one lane per set of conditions, so that one that waits for a certain
 * instance does not hold up those that can go anywhere.
 */
export class Flow {
  readonly key: string;
  readonly quantum: number;
  /** Tokens that it may still place in this turn. */
  deficit = 0;
  readonly #lanes = new Map<string, IndexedHeap<QueueEntry>>();

  constructor(key: string, quantum: number) {
    this.key = key;
    this.quantum = quantum;
  }

  get isEmpty(): boolean {
    return this.#lanes.size === 0;
  }

  push(entry: QueueEntry): void {
    let lane = this.#lanes.get(entry.laneKey);
    if (lane === undefined) {
      lane = new IndexedHeap(compareEntries);
      this.#lanes.set(entry.laneKey, lane);
    }
    lane.push(entry);
  }

  remove(entry: QueueEntry): void {
    const lane = this.#lanes.get(entry.laneKey);
    lane?.remove(entry);
    if (lane?.size === 0) this.#lanes.delete(entry.laneKey);
  }

  /** First of those that may go. */
  head(gate: QueueGate): QueueEntry | undefined {
    let best: QueueEntry | undefined;
    for (const lane of this.#lanes.values()) {
      let first = lane.peek();
      if (first === undefined || !gate.isOpen(first)) continue;
      while (gate.refresh(first)) {
        lane.update(first);
        first = lane.peek() ?? first;
      }
      if (best === undefined || compareEntries(first, best) < 0) best = first;
    }
    return best;
  }
}
