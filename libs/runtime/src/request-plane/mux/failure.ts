import { DynamoError, isErrorCode } from '@dynamo-ts/base';
import type { Failure } from '@dynamo-ts/protocol';

/** An error as it crosses the wire: code, public message, details; never the cause. */
export function toFailure(error: DynamoError): Failure {
  const details: Record<string, string> = {};
  for (const [name, value] of Object.entries(error.details ?? {}))
    details[name] = JSON.stringify(value);
  return { code: error.code, message: error.message, details };
}

/** The error that a peer sent; a code that this version does not know fails closed to `runtime.internal`. */
export function fromFailure(failure: Failure): DynamoError {
  const code = isErrorCode(failure.code) ? failure.code : 'runtime.internal';
  const details: Record<string, string | number | boolean> = {};
  for (const [name, text] of Object.entries(failure.details)) details[name] = readDetail(text);
  return Object.keys(details).length > 0
    ? new DynamoError(code, failure.message, { details })
    : new DynamoError(code, failure.message);
}

function readDetail(text: string): string | number | boolean {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'number' || typeof value === 'boolean') return value;
    return typeof value === 'string' ? value : text;
  } catch {
    return text;
  }
}
