/**
 * The filter syntax of `DYN_LOG`: a default level and levels by target, separated by commas, for example
 * `info,runtime=debug,frontend.http=off`. The most specific target wins; `.` and `::` both separate its segments.
 */
import { DynamoError } from '@dynamo-ts/base';

import type { LogLevel } from './logger.ts';

/** A level, or silence. */
export type LogThreshold = LogLevel | 'off';

const THRESHOLDS: readonly LogThreshold[] = ['trace', 'debug', 'info', 'warn', 'error', 'off'];

/** A parsed `DYN_LOG` value. */
export class LogFilter {
  readonly #fallback: LogThreshold;
  readonly #byTarget: ReadonlyMap<string, LogThreshold>;

  private constructor(fallback: LogThreshold, byTarget: ReadonlyMap<string, LogThreshold>) {
    this.#fallback = fallback;
    this.#byTarget = byTarget;
  }

  /** Reads a filter. @throws config.invalid naming the part that is not understood */
  static parse(text: string): LogFilter {
    let fallback: LogThreshold = 'info';
    const byTarget = new Map<string, LogThreshold>();
    for (const part of text.split(',').map((piece) => piece.trim())) {
      if (part === '') continue;
      const equals = part.indexOf('=');
      if (equals === -1) fallback = parseThreshold(part, part);
      else {
        const target = normalise(part.slice(0, equals));
        if (!/^[\w.-]+$/.test(target)) throw invalid(part);
        byTarget.set(target, parseThreshold(part.slice(equals + 1), part));
      }
    }
    return new LogFilter(fallback, byTarget);
  }

  /** The least level that is written for a target. */
  threshold(target: string): LogThreshold {
    let prefix = normalise(target);
    while (prefix !== '') {
      const found = this.#byTarget.get(prefix);
      if (found !== undefined) return found;
      prefix = prefix.slice(0, Math.max(0, prefix.lastIndexOf('.')));
    }
    return this.#fallback;
  }
}

function normalise(target: string): string {
  return target.trim().replaceAll('::', '.');
}

function parseThreshold(text: string, part: string): LogThreshold {
  const wanted = text.trim().toLowerCase();
  const found = THRESHOLDS.find((threshold) => threshold === wanted);
  if (found === undefined) throw invalid(part);
  return found;
}

function invalid(part: string): DynamoError {
  return new DynamoError(
    'config.invalid',
    `DYN_LOG: '${part}' is not understood; write a level (${THRESHOLDS.join(', ')}) or target=level, separated by commas`,
    { details: { part } },
  );
}
