import { DynamoError, isSystemError, systemErrorText } from '@dynamo-ts/base';

const MAX_CAUSES = 5;

/** What of an error is written. */
export interface ErrorFieldsOptions {
  /** Of it and its causes. @default true */
  readonly stack?: boolean | undefined;
}

/**
 * The log form of an error: type, code, message, details, stack and the chain of causes. What the operating system refuses
 * has no stack, but what to do about it.
 */
export function errorFields(error: unknown, options: ErrorFieldsOptions = {}): unknown {
  return fieldsOf(error, options.stack ?? true, MAX_CAUSES);
}

function fieldsOf(error: unknown, hasStack: boolean, depth: number): unknown {
  if (!(error instanceof Error)) return error;
  const isSystem = isSystemError(error);
  const code = error instanceof DynamoError ? error.code : nodeCode(error);
  return {
    error_type: error.name,
    ...(code === undefined ? {} : { code }),
    message: isSystem ? systemErrorText(error) : error.message,
    ...(error instanceof DynamoError && error.details !== undefined
      ? { details: error.details }
      : {}),
    ...(error.stack === undefined || !hasStack || isSystem ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth === 0
      ? {}
      : { cause: fieldsOf(error.cause, hasStack, depth - 1) }),
  };
}

function nodeCode(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
