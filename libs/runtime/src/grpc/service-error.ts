import { ERROR_CODES, toDynamoError } from '@dynamo-ts/base';
import { Metadata, status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';

/** Metadata key under which an error's code travels, since a gRPC status is coarser. */
const ERROR_CODE_KEY = 'dynamo-error-code';

/** An error as a gRPC status with its code in the trailers. */
export function serviceError(cause: unknown): ServiceError {
  const error = toDynamoError(cause);
  const metadata = new Metadata();
  metadata.set(ERROR_CODE_KEY, error.code);
  return Object.assign(new Error(error.message), {
    code: status[ERROR_CODES[error.code].grpc],
    details: error.message,
    metadata,
  });
}
