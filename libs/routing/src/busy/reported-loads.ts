/** What workers say about their load (`load_metrics`), by rank, and when they said it. */
import { asInstanceId, systemClock } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import { ActiveLoad } from '@dynamo-ts/protocol';

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
  /** By instance and rank; the instance that was least recently heard of is first. */
  readonly #byInstance = new Map<InstanceId, Map<number, ReportedLoad>>();
  #size = 0;

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
    const reported = { instanceId, load, heardAtMs: this.#clock.monotonicMs() };
    const ranks = this.#byInstance.get(instanceId) ?? new Map<number, ReportedLoad>();
    this.#size += ranks.has(load.dpRank) ? 0 : 1;
    ranks.set(load.dpRank, reported);
    this.#byInstance.delete(instanceId);
    this.#byInstance.set(instanceId, ranks);
    if (this.#size > MOST_RANKS) this.#forgetOldest();
    return reported;
  }

  /** Everything that was heard, the instance that was heard of last at the end. */
  *all(): Iterable<ReportedLoad> {
    for (const ranks of this.#byInstance.values()) yield* ranks.values();
  }

  /** What an instance said of its ranks. */
  of(instanceId: InstanceId): readonly ReportedLoad[] {
    return [...(this.#byInstance.get(instanceId)?.values() ?? [])];
  }

  /** Drops what an instance said that has left. */
  forget(instanceId: InstanceId): void {
    this.#size -= this.#byInstance.get(instanceId)?.size ?? 0;
    this.#byInstance.delete(instanceId);
  }

  #forgetOldest(): void {
    const [oldest] = this.#byInstance.keys();
    if (oldest !== undefined) this.forget(oldest);
  }
}
