/** One-request-one-answer gRPC methods as async functions with a {@link Context} and this project's errors. */
import type { handleUnaryCall } from '@grpc/grpc-js';

import type { Context } from '../context.ts';
import { callContext } from './call-context.ts';
import { serviceError } from './service-error.ts';

/** Makes a gRPC method of a function; metadata become the context's headers, and a cancelled call kills the context. */
export function unaryMethod<Req, Res>(
  method: (request: Req, context: Context) => Promise<Res>,
): handleUnaryCall<Req, Res> {
  return (call, callback) => {
    const context = callContext(call);
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
