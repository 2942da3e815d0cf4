/**
 * Puts the configuration of a service together: flag over environment over YAML file over default. Anything that is not
 * understood stops the process with a message that names where it was written.
 */
import { writeFileSync } from 'node:fs';

import { DynamoError, failureReason } from '@dynamo-ts/base';

import type { WrittenValue, WrittenValues } from './config-source.ts';
import { readEnvironment } from './environment.ts';
import type { Environment } from './environment.ts';
import { readFlags } from './flags.ts';
import { option, optionGroup } from './option.ts';
import type { ConfigOf, Option, Options } from './option.ts';
import { renderHelp } from './render-help.ts';
import { readYamlFile } from './yaml-file.ts';
import type { AskedServices } from './yaml-file.ts';

/** What {@link loadConfig} reads from. */
export interface LoadConfigInput {
  /** Arguments after the command, as in `process.argv.slice(2)`. */
  readonly argv: readonly string[];
  readonly env: Environment;
  /** How the service is started, for the help text, for example `dynamo frontend`; its last word is its YAML section. */
  readonly command: string;
  /** What may follow it besides flags, for the help text, for example `[ID...]`. */
  readonly words?: string;
  /** One sentence for the help text. */
  readonly summary: string;
  /** Services whose configuration this command reads too; it is none itself. @default none */
  readonly asksAbout?: AskedServices;
}

/** A configuration and where each value came from. */
export interface LoadedConfig<O extends Options> {
  readonly config: ConfigOf<O>;
  /** For every value: `flag --x`, `environment X`, `file:line` or `default`. */
  readonly origins: Readonly<Record<keyof O, string>>;
  /** Set for `--help`: print it and exit with 0; the configuration is then all defaults. */
  readonly help?: string;
}

/** Options that every command has and the loader itself answers. */
export const LOADER_OPTIONS = optionGroup('Configuration', {
  config: option.path({
    flag: 'config',
    env: 'DYN_CONFIG',
    help: 'YAML file with option names as keys; flags and environment win over it.',
  }),
  dumpConfigTo: option.path({
    flag: 'dump-config-to',
    env: 'DYN_DUMP_CONFIG_TO',
    help: 'Write the resolved configuration and the origin of each value to this file as JSON.',
  }),
  help: option.boolean({ flag: 'help', short: 'h', help: 'Print this text and exit.' }),
});

/** Loads the configuration of a service. @throws config.invalid naming the origin of what is wrong */
export function loadConfig<O extends Options>(options: O, input: LoadConfigInput): LoadedConfig<O> {
  const all: Options = { ...options, ...LOADER_OPTIONS };
  const flags = readFlags(all, input.argv);
  if (flags.get('help')?.texts[0] === 'true')
    return { ...resolve(options, []), help: renderHelp(all, input) };
  const environment = readEnvironment(all, input.env);
  const { command, asksAbout } = input;
  const own = resolve(LOADER_OPTIONS, [flags, environment]).config;
  const file =
    own.config === undefined
      ? []
      : [readYamlFile({ path: own.config, options, section: sectionOf(command), asksAbout })];
  const loaded = resolve(options, [flags, environment, ...file]);
  if (own.dumpConfigTo !== undefined) dump(options, loaded, own.dumpConfigTo);
  return loaded;
}

function sectionOf(command: string): string {
  return command.slice(command.lastIndexOf(' ') + 1);
}

/** Takes each value from the first source that has it. */
function resolve<O extends Options>(
  options: O,
  sources: readonly WrittenValues[],
): LoadedConfig<O> {
  const config: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  for (const [key, definition] of Object.entries(options)) {
    const written = sources.find((source) => source.has(key))?.get(key);
    config[key] = written === undefined ? definition.fallback : read(definition, written);
    origins[key] = written?.origin ?? 'default';
  }
  return {
    config: config as ConfigOf<O>, // one value per option, of its type
    origins: origins as Record<keyof O, string>, // one origin per option
  };
}

function read(definition: Option<unknown>, { texts, origin }: WrittenValue): unknown {
  try {
    if (!definition.repeatable && texts.length > 1)
      throw new Error(`expected one value, got a list of ${texts.length}`);
    return definition.repeatable
      ? texts.flatMap((text) => definition.parse(text))
      : definition.parse(texts[0] ?? '');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const name = origin.endsWith(`--${definition.flag}`) ? '' : ` (${definition.flag})`;
    const shown = definition.secret === true ? 'the value is not valid' : reason;
    throw new DynamoError('config.invalid', `${origin}${name}: ${shown}`, { cause });
  }
}

function dump<O extends Options>(options: O, loaded: LoadedConfig<O>, path: string): void {
  const values = Object.entries(options).map(([key, definition]) => {
    const value = loaded.config[key as keyof O]; // the key is from the same object
    const shown = definition.secret === true && value !== undefined ? '***' : (value ?? null);
    return [definition.flag, { value: shown, origin: loaded.origins[key as keyof O] }]; // as above
  });
  try {
    writeFileSync(path, `${JSON.stringify(Object.fromEntries(values), null, 2)}\n`);
  } catch (cause) {
    const message = `--dump-config-to: cannot write ${path}: ${failureReason(cause)}`;
    throw new DynamoError('config.invalid', message, { cause });
  }
}
