/**
 * Request bodies as clients really send them (RF 3.4): invalid UTF-8 is replaced, raw control characters inside strings
 * are escaped, and u64 ids and seeds keep all their digits although JSON.parse would round them.
 */
import { isUtf8 } from 'node:buffer';

import { DynamoError } from '@dynamo-ts/base';

/** A parsed body, and the bytes that the native side reads: the client's own, or the repaired ones. */
export interface JsonBody {
  readonly value: unknown;
  readonly bytes: Uint8Array;
}

/** Fields whose integers may exceed 2^53; they come out as decimal strings when they do. */
const WIDE_INTEGERS = /_(?:instance|worker)_id"|"seed"\s*:\s*-?\d{16}/;

/**
 * Parses a JSON body.
 *
 * @throws `request.invalid` when it is not JSON even after repair
 */
export function parseJsonBody(bytes: Uint8Array): JsonBody {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const value = tryParse(text);
  if (value !== undefined) return { value, bytes: isUtf8(bytes) ? bytes : Buffer.from(text) };
  const repaired = escapeControlCharacters(text);
  return { value: parseOrThrow(repaired), bytes: Buffer.from(repaired) };
}

/** Parses small JSON text with the same care for wide integers. @throws `request.invalid` */
export function parseJsonText(text: string): unknown {
  return tryParse(text) ?? parseOrThrow(text);
}

/** Escapes raw control characters that stand inside strings; leaves everything else as it is. */
export function escapeControlCharacters(text: string): string {
  let result = '';
  let copied = 0;
  let inString = false;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) inString = !inString;
    else if (code === BACKSLASH && inString) index += 1;
    else if (code < 0x20 && inString) {
      result += text.slice(copied, index) + escapeOf(code);
      copied = index + 1;
    }
  }
  return result + text.slice(copied);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function escapeOf(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`;
}

function tryParse(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

function parseOrThrow(text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message.replace(/,? ?"[^]*$/, '') : '';
    throw new DynamoError('request.invalid', `The request body is not valid JSON: ${reason}`, {
      cause: error,
    });
  }
}

function parse(text: string): unknown {
  return WIDE_INTEGERS.test(text) ? JSON.parse(text, keepWideInteger) : JSON.parse(text);
}

function keepWideInteger(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d+$/.test(source) ? source : value;
}
