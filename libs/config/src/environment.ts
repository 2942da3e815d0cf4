import type { WrittenValue, WrittenValues } from './config-source.ts';
import type { Options } from './option.ts';

/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the environment. An empty variable counts as not set, because compose files write `${X:-}`. */
export function readEnvironment(options: Options, env: Environment): WrittenValues {
  const values = new Map<string, WrittenValue>();
  for (const [key, option] of Object.entries(options)) {
    const names = [...(option.env === undefined ? [] : [option.env]), ...(option.envAliases ?? [])];
    for (const name of names) {
      const text = env[name];
      if (text === undefined || text === '') continue;
      values.set(key, { texts: [text], origin: `environment ${name}` });
      break;
    }
  }
  return values;
}
