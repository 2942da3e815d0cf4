/** Words of a command line that belong to no flag, such as the FILE of `dynamo replay FILE --policy kv`. */
import type { Options } from '@dynamo-ts/config';
import { LOADER_OPTIONS } from '@dynamo-ts/config';

/** Makes a flag of every free word, wherever it stands. */
export function wordsAsFlags(
  argv: readonly string[],
  options: Options,
  flagOf: (word: string) => string,
): readonly string[] {
  const withValue = flagsWithValue({ ...options, ...LOADER_OPTIONS });
  return argv.map((word, position) => {
    const before = argv[position - 1];
    const isFree = !word.startsWith('-') && (before === undefined || !withValue.has(before));
    return isFree ? flagOf(word) : word;
  });
}

function flagsWithValue(options: Options): ReadonlySet<string> {
  const flags = Object.values(options)
    .filter(({ placeholder }) => placeholder !== undefined)
    .flatMap(({ flag, aliases = [], short }) => [
      `--${flag}`,
      ...aliases.map((alias) => `--${alias}`),
      ...(short === undefined ? [] : [`-${short}`]),
    ]);
  return new Set(flags);
}
