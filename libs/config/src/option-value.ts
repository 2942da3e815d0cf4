/** Readers of written values. Each throws a plain Error whose message says what is expected; the caller adds the origin. */
import { suggestion } from '@dynamo-ts/base';

/** Bounds of a number, both included. */
export interface NumberLimits {
  readonly min?: number;
  readonly max?: number;
}

/** What a plain number in a duration counts. */
export type DurationUnit = 'ms' | 's';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Any non-empty text. */
export function parseText(text: string): string {
  if (text === '') throw new Error('expected a text, got nothing');
  return text;
}

/** A number within limits. */
export function parseNumber(text: string, limits: NumberLimits, whole: boolean): number {
  const pattern = whole ? /^[+-]?\d+$/ : /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;
  const value = Number(text);
  if (!pattern.test(text.trim()) || (whole && !Number.isSafeInteger(value)))
    throw new Error(`expected a ${whole ? 'whole ' : ''}number, got '${text}'`);
  checkLimits(value, limits, String);
  return value;
}

/** true, yes, on, 1 or false, no, off, 0. */
export function parseBoolean(text: string): boolean {
  const word = text.trim().toLowerCase();
  if (['true', 'yes', 'on', '1'].includes(word)) return true;
  if (['false', 'no', 'off', '0'].includes(word)) return false;
  throw new Error(`expected true or false, got '${text}'`);
}

/** One of the choices, in any case. */
export function parseChoice<C extends string>(
  text: string,
  choices: readonly C[],
  hints: Readonly<Record<string, string>>,
): C {
  const word = text.trim().toLowerCase();
  const found = choices.find((choice) => choice.toLowerCase() === word);
  if (found !== undefined) return found;
  const hint = Object.hasOwn(hints, word) ? hints[word] : undefined;
  throw new Error(
    `expected one of ${choices.join(', ')}, got '${text}'${hint === undefined ? suggestion(word, choices) : `; ${hint}`}`,
  );
}

/** A duration in milliseconds. */
export function parseDuration(text: string, unit: DurationUnit, limits: NumberLimits): number {
  const match = /^(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m|h)?$/.exec(text.trim());
  if (match === null)
    throw new Error(
      `expected a duration such as 500ms, 10s, 2m or a number of ${unit}, got '${text}'`,
    );
  const valueMs = Number(match[1]) * (UNIT_MS[match[2] ?? unit] ?? 1);
  checkLimits(valueMs, limits, (ms) => `${ms} ms`);
  return valueMs;
}

function checkLimits(value: number, limits: NumberLimits, format: (value: number) => string): void {
  const { min, max } = limits;
  if (min !== undefined && value < min)
    throw new Error(`must be at least ${format(min)}, got ${format(value)}`);
  if (max !== undefined && value > max)
    throw new Error(`must be at most ${format(max)}, got ${format(value)}`);
}
