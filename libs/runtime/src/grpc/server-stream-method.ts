/** One-request-many-answers gRPC methods as async iterables with a {@link Context} and this project's errors. */
import type { ServerWritableStream, handleServerStreamingCall } from '@grpc/grpc-js';

import type { Context } from '../context.ts';
import { callContext } from './call-context.ts';
import { serviceError } from './service-error.ts';

/** Makes a gRPC method of a function; the caller's pace is followed, and a cancelled call kills the context. */
export function serverStreamMethod<Req, Res>(
  method: (request: Req, context: Context) => AsyncIterable<Res>,
): handleServerStreamingCall<Req, Res> {
  return (call) => {
    const context = callContext(call);
    pump(method(call.request, context), call).then(
      () => {
        call.end();
      },
      (error: unknown) => {
        call.emit('error', serviceError(error));
      },
    );
  };
}

async function pump<Req, Res>(
  answers: AsyncIterable<Res>,
  call: ServerWritableStream<Req, Res>,
): Promise<void> {
  for await (const answer of answers) {
    if (call.cancelled) return;
    if (!call.write(answer)) await drained(call);
  }
}

/** Resolves when the caller can take more, or has left. */
async function drained<Req, Res>(call: ServerWritableStream<Req, Res>): Promise<void> {
  if (!call.writableNeedDrain || call.cancelled) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      call.off('cancelled', done);
      resolve();
    };
    call.on('drain', done);
    call.on('cancelled', done);
  });
}
