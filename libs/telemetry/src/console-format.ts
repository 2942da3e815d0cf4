/**
 * The readable form of a log line: time, level, target, message, then fields as `key=value`.
 *
 * It reads the JSON line that pino made, so both forms hold the same facts. It runs synchronously in the caller: a worker
 * thread would lose the last lines of a process that dies.
 */

/** How readable lines look. */
export interface ConsoleFormatOptions {
  /** ANSI colours. */
  readonly color: boolean;
  /** Local time zone instead of UTC. */
  readonly localTime: boolean;
}

/** Turns one JSON log line into readable text, line break included. */
export type ConsoleFormat = (jsonLine: string) => string;

/** Fields that have their own place in the line. */
const PLACED = new Set(['time', 'level', 'target', 'message', 'stack']);

const COLORS: Readonly<Record<string, number>> = {
  TRACE: 35,
  DEBUG: 34,
  INFO: 32,
  WARN: 33,
  ERROR: 31,
};

/** Makes the formatter for these settings. */
export function consoleFormat(options: ConsoleFormatOptions): ConsoleFormat {
  const paint = (code: number, text: string): string =>
    options.color ? `\u001b[${code}m${text}\u001b[0m` : text;
  return (jsonLine) => {
    const line = JSON.parse(jsonLine) as Record<string, unknown>;
    const level = textOf(line['level']);
    const time = options.localTime ? localTime(textOf(line['time'])) : textOf(line['time']);
    const head = `${paint(2, time)} ${paint(COLORS[level] ?? 0, level.padStart(5))} ${paint(2, `${textOf(line['target'])}:`)} ${textOf(line['message'] ?? '')}`;
    const stacks: string[] = [];
    let fields = '';
    for (const [key, value] of Object.entries(line)) {
      if (PLACED.has(key)) continue;
      fields += ` ${paint(3, key)}=${fieldText(value, stacks)}`;
    }
    return `${head}${fields}\n${stacks.map((stack) => `${stack}\n`).join('')}`;
  };
}

function fieldText(value: unknown, stacks: string[]): string {
  if (isErrorField(value)) {
    if (typeof value.stack === 'string') stacks.push(value.stack);
    const { code, message } = value;
    // Messages of Node and of NATS begin with their code or are nothing else.
    return quoted(
      code === undefined || message === code || message.startsWith(`${code}:`)
        ? message
        : `${code}: ${message}`,
    );
  }
  return quoted(textOf(value));
}

interface ErrorField {
  readonly message: string;
  readonly code?: string;
  readonly stack?: unknown;
}

function isErrorField(value: unknown): value is ErrorField {
  return typeof value === 'object' && value !== null && 'message' in value && 'error_type' in value;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function quoted(text: string): string {
  return /[\s"=]/.test(text) || text === '' ? JSON.stringify(text) : text;
}

function localTime(rfc3339: string): string {
  const date = new Date(rfc3339);
  const offset = -date.getTimezoneOffset();
  const micros = /\.(\d+)Z$/.exec(rfc3339)?.[1] ?? '000';
  const shifted = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, 19);
  const two = (value: number): string => String(Math.floor(Math.abs(value))).padStart(2, '0');
  return `${shifted}.${micros}${offset < 0 ? '-' : '+'}${two(offset / 60)}:${two(offset % 60)}`;
}
