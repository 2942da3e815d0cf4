/** Severity of a log line, least first. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/**
 * Facts of one log line. Errors are written with their code, stack and causes; bigints as decimal numbers. The keys that
 * every line has of its own are not free.
 */
export interface LogFields {
  readonly [key: string]: unknown;
  readonly level?: never;
  readonly time?: never;
  readonly message?: never;
}

/**
 * Writes structured log lines.
 *
 * The message is a constant sentence; what varies goes into fields, so that lines can be searched and joined. A child
 * carries fields into every line of one request, connection or part: `logger.child({ trace_id, span_id })`. The field
 * `target` of a child names the part that speaks and is what `DYN_LOG` filters by.
 */
export interface Logger {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  child(fields: LogFields): Logger;
  /** Whether a line of this level would be written; to skip building costly fields. */
  isEnabled(level: LogLevel): boolean;
}

const ignore = (): void => {};

/** Drops everything; for tests and for callers that want silence. */
export const nullLogger: Logger = {
  trace: ignore,
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
  child: () => nullLogger,
  isEnabled: () => false,
};
