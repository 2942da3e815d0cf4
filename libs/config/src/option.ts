/**
 * One configuration value: its flag, environment names, type, default and help text. Flags, environment, YAML, `--help`
 * and docs/CONFIG.md all come from this one definition.
 */
import {
  parseBoolean,
  parseChoice,
  parseDuration,
  parseNumber,
  parseText,
} from './option-value.ts';
import type { DurationUnit, NumberLimits } from './option-value.ts';

/** What all kinds of option have. */
export interface OptionSpec {
  /** Name without dashes, for example `http-port`; also the key in YAML (`http_port` is accepted there). */
  readonly flag: string;
  /** One-letter flag without dash. */
  readonly short?: string;
  /** Older or shorter flag names. */
  readonly aliases?: readonly string[];
  /** Environment variable, for example `DYN_HTTP_PORT`. */
  readonly env?: string;
  /** Other environment variables that are read when `env` is not set, in this order. */
  readonly envAliases?: readonly string[];
  /** What it does, in a sentence or two, with units. */
  readonly help: string;
  /** Left out of `--help`; still documented. */
  readonly hidden?: boolean;
  /** A password or key: never printed, never dumped. */
  readonly secret?: boolean;
}

/** A configuration value of type T. */
export interface Option<T> extends OptionSpec {
  /** Heading in `--help`. */
  readonly group?: string;
  /** How the value is written in `--help`; undefined for a flag without value. */
  readonly placeholder: string | undefined;
  /** May be given several times. */
  readonly repeatable: boolean;
  readonly fallback: T;
  /** Writes one value so that `parse` reads it back. */
  format(value: unknown): string;
  /** Reads one value. @throws Error whose message completes "… is not valid: " */
  parse(text: string): T;
  /** The fallback as it would be written; undefined when there is none. */
  readonly fallbackText: string | undefined;
}

/** A named set of options. */
export type Options = Readonly<Record<string, Option<unknown>>>;

/** The configuration that a set of options gives. */
export type ConfigOf<O extends Options> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

type Spec<T> = OptionSpec & { readonly default?: T };
/** The value's type: never undefined when the spec has a default. */
type Value<T, S> = S extends { readonly default: T } ? T : T | undefined;

interface TypedOption<T> {
  readonly placeholder: string;
  readonly parse: (text: string) => T;
  readonly format?: (value: T) => string;
}

function valued<T, S extends Spec<T>>(spec: S, typed: TypedOption<T>): Option<Value<T, S>> {
  const fallback = spec.default;
  const format = (value: unknown): string => (typed.format ?? String)(value as T); // only given values of this option
  const described: OptionSpec = spec;
  return {
    ...described,
    placeholder: typed.placeholder,
    repeatable: false,
    fallback: fallback as Value<T, S>, // undefined exactly when the spec has no default, as Value says
    fallbackText: fallback === undefined ? undefined : format(fallback),
    format,
    parse: (text) => typed.parse(text), // a parsed value is a T, which Value includes
  };
}

/** Builders of options, one per type. */
export const option = {
  /** Any non-empty text. */
  string: <const S extends Spec<string>>(spec: S) =>
    valued<string, S>(spec, { placeholder: 'TEXT', parse: parseText }),

  /** A path; the same as text, but says so in the help. */
  path: <const S extends Spec<string>>(spec: S) =>
    valued<string, S>(spec, { placeholder: 'PATH', parse: parseText }),

  /** A whole number. */
  integer: <const S extends Spec<number> & NumberLimits>(spec: S) =>
    valued<number, S>(spec, {
      placeholder: 'N',
      parse: (text) => parseNumber(text, spec, true),
    }),

  /** A number with or without fraction. */
  number: <const S extends Spec<number> & NumberLimits>(spec: S) =>
    valued<number, S>(spec, {
      placeholder: 'X',
      parse: (text) => parseNumber(text, spec, false),
    }),

  /** `--flag` and `--no-flag`. @default false */
  boolean: (spec: Spec<boolean>): Option<boolean> => ({
    ...valued(spec, { placeholder: '', parse: parseBoolean }),
    placeholder: undefined,
    fallback: spec.default ?? false,
    fallbackText: String(spec.default ?? false),
    parse: parseBoolean,
  }),

  /** One of a few words, in any case. `hints` explains words that users of other systems try. */
  choice: <
    const C extends string,
    const S extends Spec<NoInfer<C>> & {
      readonly choices: readonly C[];
      readonly hints?: Readonly<Record<string, string>>;
    },
  >(
    spec: S & { readonly choices: readonly C[] },
  ) =>
    valued<C, S>(spec, {
      placeholder: spec.choices.join('|'),
      parse: (text) => parseChoice(text, spec.choices, spec.hints ?? {}),
    }),

  /**
   * A duration, in milliseconds inside. Written with a unit (`500ms`, `10s`, `2m`, `1h`) or as a plain number of `unit`.
   * `default`, `min` and `max` are milliseconds.
   */
  duration: <const S extends Spec<number> & NumberLimits & { readonly unit: DurationUnit }>(
    spec: S,
  ) =>
    valued<number, S>(spec, {
      placeholder: spec.unit === 's' ? 'SECS' : 'MS',
      parse: (text) => parseDuration(text, spec.unit, spec),
      format: (ms) => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`),
    }),

  /** Several texts: the flag repeats, the environment and YAML text separate by commas. @default none */
  list: (spec: Spec<readonly string[]>): Option<readonly string[]> => {
    const { default: fallback = [], ...rest } = spec;
    return {
      ...rest,
      placeholder: 'TEXT',
      repeatable: true,
      fallback,
      fallbackText: fallback.length === 0 ? undefined : fallback.join(','),
      format: String,
      parse: (text) =>
        text
          .split(',')
          .map((part) => part.trim())
          .filter((part) => part !== ''),
    };
  },
} as const;

/** Names a service's options; checks at compile time that each is one. */
export function defineOptions<const O extends Options>(options: O): O {
  return options;
}

/** Puts options under one heading of `--help` and of the docs. */
export function optionGroup<const O extends Options>(group: string, options: O): O {
  const grouped = Object.entries(options).map(([key, value]) => [key, { ...value, group }]);
  return Object.fromEntries(grouped) as O; // same keys and values with one more field
}
