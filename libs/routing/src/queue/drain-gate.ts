import type { PlacementHost } from '../kv/collaborators.ts';
import { isHeldUp } from './eligibility.ts';
import type { QueueGate } from './flow.ts';
import type { QueueEntry } from './queue-entry.ts';

/**
 * Says which lanes have room, for as long as one drain goes on without a pause. Ranks only get busier while it places, so
 * that a lane without room needs no second look.
 */
export class DrainGate implements QueueGate {
  readonly refresh: (entry: QueueEntry) => boolean;
  readonly #host: PlacementHost;
  readonly #shut = new Set<string>();
  readonly #open = new Set<string>();

  constructor(host: PlacementHost, refresh: (entry: QueueEntry) => boolean) {
    this.#host = host;
    this.refresh = refresh;
  }

  isOpen(entry: QueueEntry): boolean {
    const { policyClass } = entry.waitingClass;
    const lane = `${policyClass.name} ${entry.laneKey}`;
    if (this.#shut.has(lane)) return false;
    if (this.#open.has(lane)) return true;
    const occupancy = this.#host.occupancy(entry.request, policyClass);
    const { eligible, overloaded } = occupancy;
    const isFull = eligible > 0 && overloaded === eligible;
    const isOpen = !isFull && !isHeldUp(occupancy, policyClass);
    (isOpen ? this.#open : this.#shut).add(lane);
    return isOpen;
  }

  /** A request was placed: what was open may be shut now. */
  placed(): void {
    this.#open.clear();
  }
}
