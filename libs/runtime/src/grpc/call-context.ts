import { asRequestId, createRequestId } from '@dynamo-ts/base';
import type { Metadata } from '@grpc/grpc-js';

import { Context } from '../context.ts';

/** The context of a gRPC call: its metadata are the headers, `x-request-id` is the id. */
export function callContext(call: { readonly metadata: Metadata }): Context {
  const headers: Record<string, string> = {};
  for (const [key, value] of Object.entries(call.metadata.getMap()))
    if (typeof value === 'string') headers[key] = value;
  const requestId = headers['x-request-id'];
  return new Context({
    id: requestId === undefined ? createRequestId() : asRequestId(requestId),
    headers,
  });
}
