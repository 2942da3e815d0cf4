/** One place where configuration is written, reduced to texts with their origins; all sources look alike to the loader. */

/** A value as it was written. */
export interface WrittenValue {
  /** Several when a flag repeats or YAML has a list. */
  readonly texts: readonly string[];
  /** Where it was written, for people: `flag --http-port`, `environment DYN_HTTP_PORT`, `config.yaml:3`. */
  readonly origin: string;
}

/** Written values by option key. */
export type WrittenValues = ReadonlyMap<string, WrittenValue>;
