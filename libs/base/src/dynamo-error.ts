import { ERROR_CODES, isErrorCode } from './error-codes.ts';
import type { ErrorCode, ErrorCodeInfo } from './error-codes.ts';

/** Machine-readable facts that may be shown to a client, for example `{ limit: 4096, actual: 5000 }`. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean>>;

/** Details of a 5xx whose message is for the client: it says what the request asked for and cannot have. */
export const PUBLIC_MESSAGE: ErrorDetails = { public_message: true };

/** What a {@link DynamoError} is made of. */
export interface DynamoErrorOptions {
  readonly details?: ErrorDetails;
  /** The lower-level error; never sent to clients. */
  readonly cause?: unknown;
}

/**
 * The one error class: a registered code, a message for people, and facts for machines.
 *
 * The message says what failed, the identifying value, and what to do. It holds no secrets and no internals, because
 * it may reach a client; those belong in `cause`, which only logs show.
 */
export class DynamoError extends Error {
  override readonly name = 'DynamoError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails | undefined;

  constructor(code: ErrorCode, message: string, options: DynamoErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
  }

  /** The registry entry of this code. */
  get info(): ErrorCodeInfo {
    return ERROR_CODES[this.code];
  }

  /** Whether the same request may succeed on another instance or later. */
  get retryable(): boolean {
    return this.info.retryable;
  }
}

/**
 * Turns anything that was thrown into a {@link DynamoError}: as it is, or wrapped under `fallback` with its cause.
 *
 * Errors that carry a registered `code` (as native errors do) keep it.
 */
export function toDynamoError(
  error: unknown,
  fallback: ErrorCode = 'runtime.internal',
): DynamoError {
  if (error instanceof DynamoError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  return new DynamoError(code !== undefined && isErrorCode(code) ? code : fallback, message, {
    cause: error,
  });
}

/** Whether the error is a {@link DynamoError} of one of these codes. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is DynamoError {
  return error instanceof DynamoError && codes.includes(error.code);
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
