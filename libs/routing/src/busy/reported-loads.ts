/** What workers say about their load (`load_metrics`), by rank, and when they said it. */
import { asInstanceId, systemClock } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import { ActiveLoad } from '@dynamo-ts/protocol';

/** Topic of {@link ActiveLoad} events, in the scope of a worker's component. */
export const LOAD_TOPIC = 'load_metrics';

/** A rank's own account of its load. */
export interface ReportedLoad {
  readonly instanceId: InstanceId;
  readonly load: ActiveLoad;
  /** Monotonic. */
  readonly heardAtMs: number;
}

/** Workers that went without a word must not make it grow for ever. */
const MOST_RANKS = 16_384;

/** Newest loads of all ranks that were heard of. */
export class ReportedLoads {
  readonly #clock: Clock;
  /** Least recently heard of first. */
  readonly #byRank = new Map<string, ReportedLoad>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Takes an event's payload. @returns what it says; undefined when it cannot be read */
  accept(payload: Uint8Array): ReportedLoad | undefined {
    let load: ActiveLoad;
    try {
      load = ActiveLoad.decode(payload);
    } catch {
      return undefined;
    }
    const instanceId = asInstanceId(load.workerId);
    const key = rankKey(instanceId, load.dpRank);
    this.#byRank.delete(key);
    const reported = { instanceId, load, heardAtMs: this.#clock.monotonicMs() };
    this.#byRank.set(key, reported);
    if (this.#byRank.size > MOST_RANKS) {
      const [oldest] = this.#byRank.keys();
      if (oldest !== undefined) this.#byRank.delete(oldest);
    }
    return reported;
  }

  /** Everything that was heard, oldest first. */
  all(): readonly ReportedLoad[] {
    return [...this.#byRank.values()];
  }
}

function rankKey(instanceId: bigint, dpRank: number): string {
  return `${instanceId}/${dpRank}`;
}
