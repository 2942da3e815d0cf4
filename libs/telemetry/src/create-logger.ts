/**
 * The logger of every service: pino to stderr, filtered by `DYN_LOG`, readable or JSON lines.
 *
 * Keys of a JSON line: time (RFC 3339, microseconds, UTC), level, target, message, then the fields of the child and of the
 * line (`trace_id`, `span_id`, `x_request_id`, …). Writing is synchronous, so no line is lost when the process ends. What
 * cannot be written, because the disk is full, waits up to a limit and is then lost; the service goes on.
 */
import { pino } from 'pino';
import type { Logger as Pino } from 'pino';

import { consoleFormat } from './console-format.ts';
import { errorFields } from './error-fields.ts';
import { LogFilter } from './log-filter.ts';
import type { LogFields, Logger, LogLevel } from './logger.ts';

/** Where finished lines go. */
export interface LogDestination {
  write(line: string): void;
}

/** Settings of {@link createLogger}. */
export interface LoggerOptions {
  /** Name of the service: the target when none is given. */
  readonly service: string;
  /** The part that speaks. @default the service */
  readonly target?: string | undefined;
  /** Filter in the syntax of `DYN_LOG`. @default "info" */
  readonly filter?: string | undefined;
  /** JSON lines instead of readable text. @default false */
  readonly jsonl?: boolean | undefined;
  /** ANSI colours in readable text. @default whether stderr is a terminal */
  readonly color?: boolean | undefined;
  /** Local time zone in readable text. @default false */
  readonly localTime?: boolean | undefined;
  /** @default stderr */
  readonly destination?: LogDestination | undefined;
}

/** Lines that wait for room on the disk; also the longest line. */
const MAX_UNWRITTEN_BYTES = 4 * 1024 * 1024;

/** Makes the root logger of a service. @throws config.invalid when the filter is not understood */
export function createLogger(options: LoggerOptions): Logger {
  const filter = LogFilter.parse(options.filter ?? 'info');
  const target = options.target ?? options.service;
  const sink = options.destination ?? stderrSink();
  const root = pino(
    {
      level: 'trace',
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${rfc3339Micros()}"`,
      formatters: { level: (label) => ({ level: label.toUpperCase() }) },
      serializers: {
        error: (value: unknown) => errorFields(value),
        err: (value: unknown) => errorFields(value),
        cause: (value: unknown) => errorFields(value),
        reason: (value: unknown) => errorFields(value),
      },
    },
    options.jsonl === true ? sink : readable(sink, options),
  );
  return new PinoLogger({ root, filter, target, fields: {} });
}

function stderrSink(): LogDestination {
  const sink = pino.destination({ fd: 2, sync: true, maxLength: MAX_UNWRITTEN_BYTES });
  // There is nowhere to say it; without a listener the process would end.
  sink.on('error', () => undefined);
  return sink;
}

function readable(sink: LogDestination, options: LoggerOptions): LogDestination {
  const format = consoleFormat({
    color: options.color ?? (options.destination === undefined && process.stderr.isTTY),
    localTime: options.localTime ?? false,
  });
  return { write: (line) => sink.write(format(line)) };
}

interface PinoLoggerOptions {
  readonly root: Pino;
  readonly filter: LogFilter;
  readonly target: string;
  readonly fields: LogFields;
}

class PinoLogger implements Logger {
  readonly #options: PinoLoggerOptions;
  readonly #pino: Pino;

  constructor(options: PinoLoggerOptions) {
    const { root, filter, target, fields } = options;
    const threshold = filter.threshold(target);
    this.#options = options;
    this.#pino = root.child(
      { target, ...fields },
      { level: threshold === 'off' ? 'silent' : threshold },
    );
  }

  trace(message: string, fields?: LogFields): void {
    this.#pino.trace(fields, message);
  }

  debug(message: string, fields?: LogFields): void {
    this.#pino.debug(fields, message);
  }

  info(message: string, fields?: LogFields): void {
    this.#pino.info(fields, message);
  }

  warn(message: string, fields?: LogFields): void {
    this.#pino.warn(this.isEnabled('debug') ? fields : withoutStacks(fields), message);
  }

  error(message: string, fields?: LogFields): void {
    this.#pino.error(fields, message);
  }

  child(added: LogFields): Logger {
    const { target, ...fields } = { ...this.#options.fields, ...added };
    return new PinoLogger({
      ...this.#options,
      fields,
      target: typeof target === 'string' ? target : this.#options.target,
    });
  }

  isEnabled(level: LogLevel): boolean {
    return this.#pino.isLevelEnabled(level);
  }
}

/** What is expected to happen in a fleet, such as a lost connection, is one line; where it was thrown is for debugging. */
function withoutStacks(fields: LogFields | undefined): LogFields | undefined {
  if (fields === undefined) return undefined;
  const entries = Object.entries(fields);
  return Object.fromEntries(
    entries.map(([key, value]) => [key, errorFields(value, { stack: false })]),
  );
}

/** Now as RFC 3339 with microseconds; `Date` alone has milliseconds. */
function rfc3339Micros(): string {
  const nowMs = performance.timeOrigin + performance.now();
  const micros = Math.floor((nowMs % 1) * 1000);
  return `${new Date(nowMs).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}Z`;
}
