/** Finds the program that `--engine-command` names. */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';

/** A program and its first arguments. */
export interface EngineCommand {
  readonly program: string;
  readonly args: readonly string[];
}

/**
 * Reads a command: the whole text when it names a program, otherwise a program and its arguments parted by spaces.
 *
 * @throws `config.invalid` when there is no such program
 */
export function parseEngineCommand(text: string, searchPath: string): EngineCommand {
  const whole = tryProgram(text, searchPath);
  if (whole !== undefined) return { program: whole, args: [] };
  const [name = '', ...args] = text.trim().split(/\s+/);
  const program = tryProgram(name, searchPath);
  if (program !== undefined) return { program, args };
  throw new DynamoError(
    'config.invalid',
    `the engine program "${name}" was not found; name one with --engine-command or a running server with --engine-url`,
  );
}

function tryProgram(name: string, searchPath: string): string | undefined {
  if (name === '') return undefined;
  if (name.includes('/')) return isProgram(name) ? name : undefined;
  return searchPath
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
