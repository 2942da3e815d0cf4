import { asRequestId, createRequestId } from '@dynamo-ts/base';
import type { Deadline, Metadata } from '@grpc/grpc-js';

import { Context } from '../context.ts';

/** What a {@link callContext} is made from; every call of a server is one. */
export interface IncomingCall {
  readonly metadata: Metadata;
  getDeadline(): Deadline;
  on(event: 'cancelled', listener: () => void): unknown;
}

/** The caller's clock and this one may notice a deadline so far apart. */
const DEADLINE_SLACK_MS = 50;

/** The context of a gRPC call, which kills it when it is cancelled or its deadline has passed: its metadata are the headers, `x-request-id` is the id. */
export function callContext(call: IncomingCall): Context {
  const headers: Record<string, string> = {};
  for (const [key, value] of Object.entries(call.metadata.getMap()))
    if (typeof value === 'string') headers[key] = value;
  const requestId = headers['x-request-id'];
  const context = new Context({
    id: requestId === undefined ? createRequestId() : asRequestId(requestId),
    headers,
  });
  call.on('cancelled', () => {
    const isLate = Number(call.getDeadline()) <= Date.now() + DEADLINE_SLACK_MS;
    context.kill(isLate ? 'deadline' : 'client-gone');
  });
  return context;
}
