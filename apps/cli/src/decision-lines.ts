/** The lines of a decision log, those of its full files first: `FILE.3`, `FILE.2`, `FILE.1`, `FILE`. */
import { createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { DynamoError } from '@dynamo-ts/base';

/** A line and where it is. */
export interface DecisionLine {
  readonly text: string;
  /** File and line number. */
  readonly where: string;
}

/** Reads a log, oldest lines first. @throws config.invalid when a file cannot be read */
export async function* decisionLines(path: string): AsyncGenerator<DecisionLine> {
  for (const file of filesOf(path)) {
    let number = 0;
    try {
      for await (const text of createInterface({
        input: createReadStream(file),
        crlfDelay: Infinity,
      })) {
        number += 1;
        yield { text, where: `${file}:${number}` };
      }
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new DynamoError('config.invalid', `cannot read the decision log: ${reason}`, { cause });
    }
  }
}

function filesOf(path: string): readonly string[] {
  const files = [path];
  for (let number = 1; existsSync(`${path}.${number}`); number++)
    files.unshift(`${path}.${number}`);
  return files;
}
