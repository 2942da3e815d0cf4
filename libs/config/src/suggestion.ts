/** The end of a message about an unknown name: `; did you mean 'x'?` when a known name is close, otherwise nothing. */
export function suggestion(name: string, known: readonly string[]): string {
  // Dashes of a flag are no likeness.
  const limit = Math.max(1, Math.floor(name.replace(/^-+/, '').length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  best ??= name.length < 3 ? undefined : known.find((candidate) => candidate.includes(name));
  return best === undefined ? '' : `; did you mean '${best}'?`;
}

/** Levenshtein distance with one row of memory. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next[j] = Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
