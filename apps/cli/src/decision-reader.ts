/**
 * Reads decision logs. A line that is no recorded decision (torn by a process that was killed, or written by something
 * else) is left out and counted, so that one of them does not cost the rest.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

import { Decision } from '@dynamo-ts/protocol';

import { decisionFiles, unreadable } from './decision-files.ts';

/** A decision and where it was read. */
export interface RecordedDecision {
  readonly decision: Decision;
  /** File and line number. */
  readonly where: string;
}

/** Reads the logs once. */
export class DecisionReader {
  /** Files and folders, as they were named. */
  readonly paths: readonly string[];
  #lines = 0;
  #unreadable = 0;
  #first = '';

  constructor(paths: readonly string[]) {
    this.paths = paths;
  }

  /**
   * Decisions of each log, oldest first; those of different logs come one log after the other.
   *
   * @param containing only lines with this text are looked at
   * @throws config.invalid when a file cannot be read
   */
  async *read(containing = ''): AsyncGenerator<RecordedDecision> {
    for (const file of await decisionFiles(this.paths)) {
      for await (const { text, where } of linesOf(file)) {
        if (text.trim() === '') continue;
        this.#lines += 1;
        if (!text.includes(containing)) continue;
        const parsed = parse(text);
        if (typeof parsed === 'string') this.leaveOut(where, parsed);
        else yield { decision: parsed, where };
      }
    }
  }

  /** Counts a line that was read but is of no use. */
  leaveOut(where: string, reason: string): void {
    this.#unreadable += 1;
    this.#first ||= `${where}: ${reason}`;
  }

  /** What was left out, in one line; undefined when nothing was. */
  get complaint(): string | undefined {
    if (this.#unreadable === 0) return undefined;
    return `${this.#unreadable} of ${this.#lines} line${this.#lines === 1 ? '' : 's'} unreadable, first at ${this.#first}`;
  }
}

async function* linesOf(
  file: string,
): AsyncGenerator<{ readonly text: string; readonly where: string }> {
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
    throw unreadable(cause);
  }
}

/** The decision, or why it is none. */
function parse(line: string): Decision | string {
  try {
    const decision = Decision.fromJSON(JSON.parse(line));
    const { decisionId, blockSize, settings } = decision;
    if (decisionId === '') return 'not a decision, it has no decision_id';
    if (blockSize < 1 || settings === undefined) return `decision ${decisionId} is not complete`;
    return decision;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
