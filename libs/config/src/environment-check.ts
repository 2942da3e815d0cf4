/**
 * Finds misspelt variables of the environment. A name that is not known cannot simply be refused: a machine's environment
 * also holds what the reference reads and this project does not. Only names that are almost one of ours are told.
 */
import { editDistance } from '@dynamo-ts/base';

import { ENVIRONMENT_NAMES } from './environment-names.ts';
import type { Environment } from './environment.ts';
import type { Options } from './option.ts';

/** A variable that is set and that nobody reads. */
export interface UnknownVariable {
  readonly name: string;
  /** The one that was probably meant; undefined when none is near. */
  readonly meant: string | undefined;
}

const PREFIX = 'DYN_';
/** What people write for it. */
const LONG_PREFIX = 'DYNAMO_';
/** Variables of this project's own tests. */
const TEST_PREFIX = 'DYN_TEST_';
const KNOWN: ReadonlySet<string> = new Set(ENVIRONMENT_NAMES);
/** More changes than this in one word make another word of it: EMB is not CMP. */
const LONG_WORD = 6;
const MOST_CHANGED_WORDS = 2;

/** Variables named as ours that are set to something and are not known, in the order of their names. */
export function unknownVariables(env: Environment, options: Options): readonly UnknownVariable[] {
  return Object.keys(env)
    .filter((name) => (env[name] ?? '') !== '' && isOurs(name) && !KNOWN.has(name))
    .sort()
    .map((name) => ({ name, meant: meantBy(name, options) }));
}

/** One line for each variable that is probably misspelt. */
export function misspeltLines(env: Environment, options: Options): readonly string[] {
  return unknownVariables(env, options).flatMap(({ name, meant }) =>
    meant === undefined
      ? []
      : [`the environment variable ${name} is not known and has no effect; did you mean ${meant}?`],
  );
}

function isOurs(name: string): boolean {
  const isNamedSo = name.startsWith(PREFIX) || name.startsWith(LONG_PREFIX);
  return isNamedSo && !name.startsWith(TEST_PREFIX);
}

function meantBy(name: string, options: Options): string | undefined {
  const short = name.startsWith(LONG_PREFIX) ? PREFIX + name.slice(LONG_PREFIX.length) : name;
  return KNOWN.has(short)
    ? short
    : (variableOfFlag(short, options) ?? ENVIRONMENT_NAMES.find((known) => isNear(short, known)));
}

/** The variable of an option when the name was made from its flag: they are not always alike. */
function variableOfFlag(name: string, options: Options): string | undefined {
  const flag = name.slice(PREFIX.length).toLowerCase().replaceAll('_', '-');
  return Object.values(options).find((option) =>
    [option.flag, ...(option.aliases ?? [])].includes(flag),
  )?.env;
}

function isNear(name: string, known: string): boolean {
  if (editDistance(name, known) <= 1) return true;
  const words = name.split('_');
  const knownWords = known.split('_');
  if (words.length !== knownWords.length) return false;
  const distances = words
    .map((word, index) => ({ word, distance: editDistance(word, knownWords[index] ?? '') }))
    .filter(({ distance }) => distance > 0);
  return (
    distances.length <= MOST_CHANGED_WORDS &&
    distances.every(({ word, distance }) => distance <= (word.length >= LONG_WORD ? 2 : 1))
  );
}
