/**
 * Weighted deficit round robin over flows (RP 4.6): each turn lets a flow place as many uncached prompt tokens as its
 * quantum, what it does not use up is kept for its next turn, and what it does not need is lost with its last request.
 *
 * A flow is a class, or a part of one: requests of a class with different flow keys (tenants, say) take turns of their own.
 */
import { Flow } from './flow.ts';
import type { QueueGate } from './flow.ts';
import { uncachedTokensOf } from './queue-entry.ts';
import type { QueueEntry } from './queue-entry.ts';

/** All waiting requests. */
export class FairQueue {
  readonly #byKey = new Map<string, Flow>();
  /** In the order of their turns. */
  readonly #flows: Flow[] = [];
  /** Whose turn it is. */
  #turn = 0;
  /** Whether it has got its quantum. */
  #isGranted = false;

  push(entry: QueueEntry): void {
    let flow = this.#byKey.get(entry.flowKey);
    if (flow === undefined) {
      flow = new Flow(entry.flowKey, entry.waitingClass.policyClass.quantum);
      this.#byKey.set(flow.key, flow);
      this.#flows.push(flow);
    }
    flow.push(entry);
  }

  remove(entry: QueueEntry): void {
    const flow = this.#byKey.get(entry.flowKey);
    flow?.remove(entry);
    if (flow?.isEmpty === true) this.#drop(flow);
  }

  /** Takes the next request that may go; undefined when none may, and then nothing has changed. */
  take(gate: QueueGate): QueueEntry | undefined {
    const rounds = this.#roundsToWait(gate);
    if (rounds === undefined) return undefined;
    // Nobody could afford its first request before: those rounds are skipped.
    for (const flow of this.#flows)
      if (rounds > 0 && flow.head(gate) !== undefined) flow.deficit += rounds * flow.quantum;
    for (;;) {
      const flow = this.#flows[this.#turn];
      const head = flow?.head(gate);
      if (flow !== undefined && head !== undefined) {
        if (!this.#isGranted) flow.deficit += flow.quantum;
        this.#isGranted = true;
        const cost = uncachedTokensOf(head);
        if (cost <= flow.deficit) {
          flow.deficit -= cost;
          this.remove(head);
          return head;
        }
      }
      this.#passTurn();
    }
  }

  /** Whole rounds without a request that can be afforded; undefined when no flow has one that may go. */
  #roundsToWait(gate: QueueGate): number | undefined {
    let fewest: number | undefined;
    for (const flow of this.#flows) {
      const head = flow.head(gate);
      if (head === undefined) continue;
      const grants = Math.ceil((uncachedTokensOf(head) - flow.deficit) / flow.quantum);
      if (grants <= 1) return 0;
      fewest = Math.min(fewest ?? Infinity, grants - 1);
    }
    return fewest;
  }

  #passTurn(): void {
    this.#turn = (this.#turn + 1) % this.#flows.length;
    this.#isGranted = false;
  }

  #drop(flow: Flow): void {
    const index = this.#flows.indexOf(flow);
    this.#flows.splice(index, 1);
    this.#byKey.delete(flow.key);
    if (index === this.#turn) this.#isGranted = false;
    if (index < this.#turn) this.#turn -= 1;
    if (this.#turn >= this.#flows.length) this.#turn = 0;
  }
}
