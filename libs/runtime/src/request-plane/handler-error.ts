import { DynamoError, isErrorCode } from '@dynamo-ts/base';
import type { ErrorCode } from '@dynamo-ts/base';

const SYSTEM_CODES: Readonly<Record<string, ErrorCode>> = {
  ECONNREFUSED: 'transport.cannot_connect',
  ECONNRESET: 'transport.disconnected',
  EPIPE: 'transport.disconnected',
  ETIMEDOUT: 'transport.timeout',
};

const NAMED: Readonly<Record<string, ErrorCode>> = {
  ZodError: 'request.invalid',
  RangeError: 'request.invalid',
  AbortError: 'request.cancelled',
  TimeoutError: 'transport.timeout',
};

/**
 * The error a caller sees for what a handler threw (RF 1.16): registered codes stay, network failures keep their kind,
 * errors with an HTTP status of 4xx, validation errors and `RangeError` blame the request, the rest the backend.
 *
 * A `TypeError` blames the backend, unlike in Python: here it is nearly always a defect of the handler.
 */
export function handlerError(error: unknown): DynamoError {
  if (error instanceof DynamoError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new DynamoError(codeFor(error), message, { cause: error });
}

function codeFor(error: unknown): ErrorCode {
  if (typeof error !== 'object' || error === null) return 'backend.error';
  if ('code' in error && typeof error.code === 'string') {
    if (isErrorCode(error.code)) return error.code;
    const known = SYSTEM_CODES[error.code];
    if (known !== undefined) return known;
  }
  if (isClientStatus(error)) return 'request.invalid';
  const name = error instanceof Error ? error.name : '';
  return NAMED[name] ?? 'backend.error';
}

function isClientStatus(error: object): boolean {
  for (const field of ['status', 'statusCode', 'code']) {
    const value: unknown = Reflect.get(error, field);
    if (typeof value === 'number' && value >= 400 && value < 500) return true;
  }
  return false;
}
