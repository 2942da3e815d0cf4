/** Rules that pick one instance of an endpoint without knowing what a request is about (RF 1.9). */
import type { InstanceId } from '@dynamo-ts/base';

/** How a client spreads its requests. */
export type SelectionPolicy = 'round-robin' | 'random' | 'power-of-two' | 'least-loaded';

/** Every {@link SelectionPolicy}, default first. */
export const SELECTION_POLICIES: readonly SelectionPolicy[] = [
  'round-robin',
  'random',
  'power-of-two',
  'least-loaded',
];

/** The turn and the randomness that policies draw from; one per endpoint, shared by its clients. */
export interface SelectionSource {
  /** 0, 1, 2, … */
  nextTurn(): number;
  /** At least 0, below 1. */
  random(): number;
}

/** A {@link SelectionSource} that starts at turn 0. */
export function createSelectionSource(random: () => number = Math.random): SelectionSource {
  let turn = 0;
  return { nextTurn: () => turn++, random };
}

/**
 * Picks one of the candidates.
 *
 * - `round-robin`: by turn.
 * - `random`: uniform.
 * - `power-of-two`: of two distinct random candidates the one with fewer requests in flight; a tie takes the first drawn.
 * - `least-loaded`: fewest in flight of all; ties go round by turn, so that idle instances share.
 *
 * @returns undefined when there are no candidates
 */
export function selectInstance(
  policy: SelectionPolicy,
  candidates: readonly InstanceId[],
  inFlight: (id: InstanceId) => number,
  source: SelectionSource,
): InstanceId | undefined {
  const count = candidates.length;
  if (count <= 1) return candidates[0];
  switch (policy) {
    case 'round-robin':
      return candidates[source.nextTurn() % count];
    case 'random':
      return candidates[Math.floor(source.random() * count)];
    case 'power-of-two':
      return betterOfTwo(candidates, inFlight, source);
    case 'least-loaded':
      return leastLoaded(candidates, inFlight, source.nextTurn());
  }
}

function betterOfTwo(
  candidates: readonly InstanceId[],
  inFlight: (id: InstanceId) => number,
  source: SelectionSource,
): InstanceId | undefined {
  const count = candidates.length;
  const first = Math.floor(source.random() * count);
  const second = (first + 1 + Math.floor(source.random() * (count - 1))) % count;
  const [a, b] = [candidates[first], candidates[second]];
  if (a === undefined || b === undefined) return a ?? b;
  return inFlight(b) < inFlight(a) ? b : a;
}

function leastLoaded(
  candidates: readonly InstanceId[],
  inFlight: (id: InstanceId) => number,
  turn: number,
): InstanceId | undefined {
  let best: InstanceId | undefined;
  let least = Infinity;
  for (let offset = 0; offset < candidates.length; offset++) {
    const id = candidates[(turn + offset) % candidates.length];
    if (id === undefined) continue;
    const load = inFlight(id);
    if (load < least) [best, least] = [id, load];
  }
  return best;
}
