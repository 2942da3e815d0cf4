/**
 * Reads a YAML configuration file. Keys are flag names (`http-port` or `http_port`) at the top level; a mapping named after
 * a service (`frontend:`) applies to that service only and wins over the top level, so that one file can serve them all.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { DynamoError, failureReason, suggestion } from '@dynamo-ts/base';
import type * as Yaml from 'yaml';

import type { WrittenValue, WrittenValues } from './config-source.ts';
import { tryForeignAdvice } from './foreign-names.ts';
import type { Options } from './option.ts';

/** Services that may have a section of their own. */
const SECTIONS: readonly string[] = ['up', 'frontend', 'router', 'worker'];

/** What is read. */
export interface YamlFileOptions {
  readonly path: string;
  /** The service that reads; its section applies. */
  readonly section: string;
  readonly options: Options;
  /** For a command that is no service: outside its section the file is about these services, and only this is read. */
  readonly asksAbout?: AskedServices | undefined;
}

/** Services whose configuration a command reads, to find them. */
export interface AskedServices {
  /** Names of their sections; a later one wins. */
  readonly services: readonly string[];
  /** What of it the command takes over; whatever else is there is none of its business. */
  readonly options: Options;
}

/** Reads a file. @throws config.invalid naming file and line */
export function readYamlFile(request: YamlFileOptions): WrittenValues {
  // Loaded here because parsing YAML takes longer to import than the rest of a service's configuration.
  const yaml = createRequire(import.meta.url)('yaml') as typeof Yaml;
  const lines = new yaml.LineCounter();
  // Without "pretty" errors, which draw the place over several lines.
  const settings = { lineCounter: lines, prettyErrors: false };
  const document = yaml.parseDocument(readText(request.path), settings);
  const [error] = document.errors;
  if (error !== undefined) {
    const { line } = lines.linePos(error.pos[0]);
    throw invalid(`${request.path}:${line}: ${error.message}`);
  }
  const root = document.contents;
  if (root === null) return new Map();
  if (!yaml.isMap(root)) throw invalid(`${request.path}: expected a mapping of option names`);
  const { section, asksAbout } = request;
  const reader = new MappingReader({ ...request, isStrict: true }, lines, yaml);
  const shared =
    asksAbout === undefined
      ? reader
      : new MappingReader({ ...request, options: asksAbout.options, isStrict: false }, lines, yaml);
  const sectionOf = (name: string): Yaml.YAMLMap | undefined => {
    const value = root.items.find((pair) => keyText(pair.key) === name)?.value;
    return yaml.isMap(value) ? value : undefined;
  };
  const others = (asksAbout?.services ?? []).map(sectionOf).filter((found) => found !== undefined);
  const own = sectionOf(section);
  return new Map([
    ...shared.read(root, true),
    ...others.flatMap((other) => [...shared.read(other, false)]),
    ...(own === undefined ? [] : reader.read(own, false)),
  ]);
}

interface MappingReaderOptions extends YamlFileOptions {
  /** Whether a key that is no option is a mistake. */
  readonly isStrict: boolean;
}

class MappingReader {
  readonly #request: MappingReaderOptions;
  readonly #lines: Yaml.LineCounter;
  readonly #yaml: typeof Yaml;
  readonly #keys: ReadonlyMap<string, string>;

  constructor(request: MappingReaderOptions, lines: Yaml.LineCounter, yaml: typeof Yaml) {
    this.#request = request;
    this.#lines = lines;
    this.#yaml = yaml;
    this.#keys = new Map(
      Object.entries(request.options).flatMap(([key, { flag, aliases = [] }]) =>
        [flag, ...aliases].map((name): [string, string] => [name, key]),
      ),
    );
  }

  read(mapping: Yaml.YAMLMap, sectionsAllowed: boolean): Map<string, WrittenValue> {
    const { path, section, isStrict } = this.#request;
    const values = new Map<string, WrittenValue>();
    for (const pair of mapping.items) {
      const name = keyText(pair.key);
      const origin = `${path}:${this.#lineOf(pair.key)}`;
      if (sectionsAllowed && this.#yaml.isMap(pair.value)) {
        if (name === section || SECTIONS.includes(name)) continue;
        throw invalid(`${origin}: unknown section '${name}'${suggestion(name, SECTIONS)}`);
      }
      const key = this.#keys.get(name.replaceAll('_', '-'));
      if (key === undefined && !isStrict) continue;
      if (key === undefined)
        throw invalid(
          `${origin}: unknown key '${name}'${tryForeignAdvice(name) ?? suggestion(name, [...this.#keys.keys()])}`,
        );
      const texts = this.#texts(pair.value);
      if (texts === undefined) throw invalid(`${origin}: '${name}' must be a value or a list`);
      if (texts.length > 0) values.set(key, { texts, origin });
    }
    return values;
  }

  /** The value's texts; none for null, undefined for what is no value. */
  #texts(value: unknown): readonly string[] | undefined {
    const { isScalar, isSeq } = this.#yaml;
    if (value === null) return [];
    if (isScalar(value)) return value.value === null ? [] : [scalarText(value)];
    if (!isSeq(value)) return undefined;
    const scalars = value.items.filter((item) => isScalar(item));
    return scalars.length === value.items.length ? scalars.map(scalarText) : undefined;
  }

  #lineOf(key: unknown): number {
    const start = this.#yaml.isScalar(key) ? (key.range?.[0] ?? 0) : 0;
    return this.#lines.linePos(start).line;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const message = `cannot read configuration file ${path}: ${failureReason(cause)}`;
    throw new DynamoError('config.invalid', message, { cause });
  }
}

/** As written, so that the option's own reader decides what it means. */
function scalarText(scalar: Yaml.Scalar): string {
  return scalar.source ?? JSON.stringify(scalar.value);
}

function keyText(key: unknown): string {
  return String(key);
}

function invalid(message: string): DynamoError {
  return new DynamoError('config.invalid', message);
}
