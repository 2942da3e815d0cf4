import { editDistance } from './edit-distance.ts';

/** Shorter names have neighbours that have nothing to do with them. */
const SHORTEST_NAME = 3;

/** The end of a message about an unknown name: `; did you mean 'x'?` when a known name is close, otherwise nothing. */
export function suggestion(name: string, known: readonly string[]): string {
  const best = nearest(name, known);
  return best === undefined ? '' : `; did you mean '${best}'?`;
}

function nearest(name: string, known: readonly string[]): string | undefined {
  const bare = withoutDashes(name); // dashes of a flag are no likeness
  if (bare.length < SHORTEST_NAME) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(bare.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(bare, withoutDashes(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best ?? shortest(known.filter((candidate) => hasWords(candidate, bare)));
}

/**
 * Whether a name has all the words of another one, as `router-queue-policy` has those of `queue-policy`. A single word says
 * that little that the name must begin with it.
 */
function hasWords(candidate: string, name: string): boolean {
  const words = withoutDashes(candidate).split(/[-_]/);
  const wanted = name.split(/[-_]/);
  return wanted.length === 1
    ? words[0] === wanted[0]
    : wanted.every((word) => words.includes(word));
}

function shortest(names: readonly string[]): string | undefined {
  return names.toSorted((left, right) => left.length - right.length)[0];
}

function withoutDashes(name: string): string {
  return name.replace(/^-+/, '');
}
