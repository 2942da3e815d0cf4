/**
 * Which workers a recorded fleet had, and when: a worker that was restarted has a new instance id, but was not one worker
 * more. It existed from the first request that had it among its candidates to the last one.
 */
import type { Decision, DecisionCandidate } from '@dynamo-ts/protocol';

/** Requests by position in a trace, from the first to the last that a worker could have taken. */
export interface Life {
  readonly first: number;
  readonly last: number;
}

/** A recorded fleet. */
export interface Fleet {
  /** By worker, in the order in which they were first seen. */
  readonly lives: readonly Life[];
  /** Most workers at a time. */
  readonly workers: number;
  /** By worker: its place among those that there were at a time, which its successor takes after it. */
  readonly places: readonly number[];
  /** Recorded requests by place. */
  readonly requests: readonly number[];
  /** KV blocks of a worker; 0 when it is not recorded. */
  readonly kvBlocks: number;
}

/** What a router says of a worker that a request must not go to: it serves another model, or failed the request. */
const EXCLUDED = 'excluded';

interface Rank {
  /** Requests that had it among their candidates. */
  first: Seen;
  last: Seen;
  /** Those that it got. */
  requests: number;
  /** It was there for some request. */
  isOfFleet: boolean;
}

/** A request by its place in the order of arrival. */
interface Seen {
  readonly arrivedAtMs: number;
  /** Decides among those that arrived at the same time. */
  readonly number: number;
}

/** Collects a fleet from decisions in any order; workers that no request could have gone to are no part of it. */
export class FleetLives {
  readonly #ranks = new Map<string, Rank>();
  #kvBlocks = 0;

  /** Takes in the candidates of a request. */
  add({ candidates, chosen }: Decision, seen: Seen): void {
    for (const [position, candidate] of candidates.entries()) {
      const rank = this.#rank(candidate, seen);
      if (isBefore(seen, rank.first)) rank.first = seen;
      if (isBefore(rank.last, seen)) rank.last = seen;
      if (position === chosen) rank.requests += 1;
      if (candidate.rejection === EXCLUDED) continue;
      rank.isOfFleet = true;
      this.#kvBlocks = Math.max(this.#kvBlocks, Number(candidate.totalKvBlocks));
    }
  }

  /** The fleet. @param positionOf position in the trace of a request by its number */
  build(positionOf: (number: number) => number): Fleet {
    const ranks = [...this.#ranks.values()].filter(({ isOfFleet }) => isOfFleet);
    const lives = ranks.map(({ first, last }) => {
      return { first: positionOf(first.number), last: positionOf(last.number) };
    });
    const { places, workers } = placesOf(lives);
    const requests = Array.from({ length: workers }, () => 0);
    for (const [at, place] of places.entries())
      requests[place] = (requests[place] ?? 0) + (ranks[at]?.requests ?? 0);
    return { lives, workers, places, requests, kvBlocks: this.#kvBlocks };
  }

  #rank({ workerId, dpRank }: DecisionCandidate, seen: Seen): Rank {
    const name = `${workerId}/${dpRank}`;
    const known = this.#ranks.get(name);
    if (known !== undefined) return known;
    const rank = { first: seen, last: seen, requests: 0, isOfFleet: false };
    this.#ranks.set(name, rank);
    return rank;
  }
}

function isBefore(one: Seen, other: Seen): boolean {
  if (one.arrivedAtMs !== other.arrivedAtMs) return one.arrivedAtMs < other.arrivedAtMs;
  return one.number < other.number;
}

/** A worker takes the place of one that has gone; only when there is none it has a further place. */
function placesOf(lives: readonly Life[]): {
  readonly places: readonly number[];
  readonly workers: number;
} {
  const places = lives.map(() => 0);
  /** Position after which each place is free. */
  const free: number[] = [];
  const inOrder = [...lives.entries()].toSorted(([, a], [, b]) => a.first - b.first);
  for (const [worker, { first, last }] of inOrder) {
    const found = free.findIndex((until) => until < first);
    const place = found >= 0 ? found : free.length;
    places[worker] = place;
    free[place] = last;
  }
  return { places, workers: free.length };
}
