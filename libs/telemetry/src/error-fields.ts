import { DynamoError } from '@dynamo-ts/base';

const MAX_CAUSES = 5;

/** The log form of an error: type, code, message, details, stack and the chain of causes. */
export function errorFields(error: unknown, depth: number = MAX_CAUSES): unknown {
  if (!(error instanceof Error)) return error;
  const code = error instanceof DynamoError ? error.code : nodeCode(error);
  return {
    error_type: error.name,
    ...(code === undefined ? {} : { code }),
    message: error.message,
    ...(error instanceof DynamoError && error.details !== undefined
      ? { details: error.details }
      : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth === 0
      ? {}
      : { cause: errorFields(error.cause, depth - 1) }),
  };
}

function nodeCode(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
