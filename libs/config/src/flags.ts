/** Reads command-line flags: `--name value`, `--name=value`, `--name`, `--no-name`, `-x value`; the last one wins, lists collect. */
import { DynamoError, suggestion } from '@dynamo-ts/base';

import type { WrittenValue, WrittenValues } from './config-source.ts';
import { tryForeignAdvice } from './foreign-names.ts';
import type { Option, Options } from './option.ts';

interface Known {
  readonly key: string;
  readonly option: Option<unknown>;
  /** Value that the flag means without one, for `--x` and `--no-x`. */
  readonly implied?: 'true' | 'false';
}

/** Reads flags. @throws config.invalid for an unknown flag, a missing or unwanted value, or a stray word */
export function readFlags(options: Options, argv: readonly string[]): WrittenValues {
  const known = knownFlags(options);
  const values = new Map<string, WrittenValue>();
  const rest = [...argv];
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    if (!/^-[a-zA-Z-]/.test(argument)) throw invalid(`unexpected argument '${argument}'`);
    const { flag, attached } = splitFlag(argument);
    const found = known.get(flag);
    if (found === undefined)
      throw invalid(
        `unknown flag ${flag}${tryForeignAdvice(flag) ?? suggestion(flag, [...known.keys()])}`,
      );
    const text = readText(found, { flag, attached }, rest);
    const before = found.option.repeatable ? (values.get(found.key)?.texts ?? []) : [];
    values.set(found.key, { texts: [...before, text], origin: `flag ${flag}` });
  }
  return values;
}

/** Writes a configuration as flags that read back as it, leaving out what is undefined. */
export function writeFlags(options: Options, config: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(options).flatMap(([key, option]) => {
    const value = config[key];
    if (value === undefined) return [];
    if (option.placeholder === undefined)
      return [value === true ? `--${option.flag}` : `--no-${option.flag}`];
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    return values.map((one) => `--${option.flag}=${option.format(one)}`);
  });
}

interface SplitFlag {
  readonly flag: string;
  /** The value after `=`. */
  readonly attached: string | undefined;
}

function splitFlag(argument: string): SplitFlag {
  const equals = argument.indexOf('=');
  if (equals === -1) return { flag: argument, attached: undefined };
  return { flag: argument.slice(0, equals), attached: argument.slice(equals + 1) };
}

/** The value of a flag: attached, implied, or the next word, which is taken from `rest`. */
function readText(known: Known, { flag, attached }: SplitFlag, rest: string[]): string {
  if (known.implied === 'false' && attached !== undefined)
    throw invalid(`flag ${flag} takes no value; leave out '=${attached}'`);
  const text = attached ?? known.implied ?? rest.shift();
  if (text === undefined || (attached === undefined && text.startsWith('--')))
    throw invalid(`flag ${flag} needs a value`);
  return text;
}

function knownFlags(options: Options): ReadonlyMap<string, Known> {
  const known = new Map<string, Known>();
  for (const [key, option] of Object.entries(options)) {
    const takesValue = option.placeholder !== undefined;
    const positive: Known = takesValue ? { key, option } : { key, option, implied: 'true' };
    for (const name of [option.flag, ...(option.aliases ?? [])]) {
      known.set(`--${name}`, positive);
      if (!takesValue) known.set(`--no-${name}`, { key, option, implied: 'false' });
    }
    if (option.short !== undefined) known.set(`-${option.short}`, positive);
  }
  return known;
}

function invalid(message: string): DynamoError {
  return new DynamoError('config.invalid', `${message} (--help lists all flags)`);
}
