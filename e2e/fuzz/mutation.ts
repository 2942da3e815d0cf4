/** Deterministic mutations of JSON values and bytes. */

/** A source of pseudo-random numbers; the same for the same seed. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761 + 12_345) >>> 0 || 1;
  }

  /** An integer from 0 to `limit` − 1. */
  below(limit: number): number {
    // xorshift32
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    this.#state >>>= 0;
    return this.#state % limit;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined && items.length === 0) throw new Error('nothing to pick from');
    return item as T; // the index is in range
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }
}

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. */
export interface JsonObject {
  readonly [key: string]: Json;
}

const ODD_STRINGS = [
  '',
  ' ',
  '\0',
  '\ud800',
  '🦊'.repeat(9),
  'a'.repeat(5000),
  '<|im_end|>',
  '__proto__',
  '../..',
  '%n',
];
const ODD_NUMBERS = [0, -1, 1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 63), 1e300, 1e-300];

/** A value with one or more of its parts replaced, removed, repeated or added. */
export function mutatedJson(value: Json, dice: Dice): Json {
  let mutated = value;
  for (let times = 1 + dice.below(3); times > 0; times -= 1) mutated = mutateOnce(mutated, dice, 0);
  return mutated;
}

/** Bytes with some of them changed, cut out, repeated or added. */
export function mutatedBytes(bytes: Uint8Array, dice: Dice): Uint8Array {
  const mutated = [...bytes];
  for (let times = 1 + dice.below(4); times > 0; times -= 1) {
    const at = dice.below(mutated.length + 1);
    switch (dice.below(4)) {
      case 0:
        if (at < mutated.length) mutated[at] = dice.below(256);
        break;
      case 1:
        mutated.splice(at, 1 + dice.below(20));
        break;
      case 2:
        mutated.splice(at, 0, ...Array.from({ length: 1 + dice.below(9) }, () => dice.below(256)));
        break;
      default:
        mutated.splice(at, 0, ...mutated.slice(at, at + dice.below(30)));
    }
  }
  return Uint8Array.from(mutated);
}

function mutateOnce(value: Json, dice: Dice, depth: number): Json {
  if (dice.once(4 + depth) || value === null || typeof value !== 'object') return oddValue(dice);
  if (Array.isArray(value)) return mutateArray(value as readonly Json[], dice, depth);
  return mutateObject(value as JsonObject, dice, depth);
}

function mutateArray(items: readonly Json[], dice: Dice, depth: number): Json {
  if (items.length === 0) return [oddValue(dice)];
  const at = dice.below(items.length);
  const item = items[at] ?? null;
  switch (dice.below(4)) {
    case 0:
      return items.toSpliced(at, 1);
    case 1:
      return [...items, ...items];
    case 2:
      return items.toSpliced(at, 0, oddValue(dice));
    default:
      return items.with(at, mutateOnce(item, dice, depth + 1));
  }
}

function mutateObject(fields: JsonObject, dice: Dice, depth: number): Json {
  const keys = Object.keys(fields);
  if (keys.length === 0) return { [dice.pick(ODD_STRINGS)]: oddValue(dice) };
  const key = dice.pick(keys);
  switch (dice.below(4)) {
    case 0:
      return Object.fromEntries(Object.entries(fields).filter(([name]) => name !== key));
    case 1:
      return { ...fields, [dice.pick(ODD_STRINGS)]: oddValue(dice) };
    default:
      return { ...fields, [key]: mutateOnce(fields[key] ?? null, dice, depth + 1) };
  }
}

function oddValue(dice: Dice): Json {
  switch (dice.below(7)) {
    case 0:
      return null;
    case 1:
      return dice.once(2);
    case 2:
      return dice.pick(ODD_NUMBERS);
    case 3:
      return [];
    case 4:
      return {};
    case 5:
      return nested(dice.below(60));
    default:
      return dice.pick(ODD_STRINGS);
  }
}

function nested(depth: number): Json {
  let value: Json = 'deep';
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { x: value };
  return value;
}
