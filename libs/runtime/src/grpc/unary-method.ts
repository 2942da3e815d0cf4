/** One-request-one-answer gRPC methods as async functions with a {@link Context} and this project's errors. */
import { ERROR_CODES, asRequestId, createRequestId, toDynamoError } from '@dynamo-ts/base';
import { Metadata, status } from '@grpc/grpc-js';
import type { ServerUnaryCall, ServiceError, handleUnaryCall } from '@grpc/grpc-js';

import { Context } from '../context.ts';

/** Metadata key under which an error's code travels, since a gRPC status is coarser. */
const ERROR_CODE_KEY = 'dynamo-error-code';

/** Makes a gRPC method of a function; metadata become the context's headers, and a cancelled call kills the context. */
export function unaryMethod<Req, Res>(
  method: (request: Req, context: Context) => Promise<Res>,
): handleUnaryCall<Req, Res> {
  return (call, callback) => {
    const context = callContext(call);
    call.on('cancelled', () => {
      context.kill('client-gone');
    });
    method(call.request, context).then(
      (answer) => {
        callback(null, answer);
      },
      (error: unknown) => {
        callback(serviceError(error));
      },
    );
  };
}

function callContext(call: ServerUnaryCall<unknown, unknown>): Context {
  const headers: Record<string, string> = {};
  for (const [key, value] of Object.entries(call.metadata.getMap()))
    if (typeof value === 'string') headers[key] = value;
  const requestId = headers['x-request-id'];
  return new Context({
    id: requestId === undefined ? createRequestId() : asRequestId(requestId),
    headers,
  });
}

function serviceError(cause: unknown): ServiceError {
  const error = toDynamoError(cause);
  const metadata = new Metadata();
  metadata.set(ERROR_CODE_KEY, error.code);
  return Object.assign(new Error(error.message), {
    code: status[ERROR_CODES[error.code].grpc],
    details: error.message,
    metadata,
  });
}
