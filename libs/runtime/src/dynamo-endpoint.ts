import { DynamoError } from '@dynamo-ts/base';

import type { EndpointHandler } from './typed-handler.ts';

/** Checks and converts a decoded request; any schema library's `parse` does, for example zod's. */
export interface RequestSchema<T> {
  parse(value: unknown): T;
}

/**
 * A handler whose request is checked by a schema first. A request that is a string is read as JSON, for callers that send
 * text.
 *
 * The handler's caller gets `request.invalid` with the schema's message when it does not fit.
 */
export function dynamoEndpoint<Req, Res>(
  schema: RequestSchema<Req>,
  handler: EndpointHandler<Req, Res>,
): EndpointHandler<unknown, Res> {
  return (request, context) => handler(checked(schema, request), context);
}

function checked<Req>(schema: RequestSchema<Req>, request: unknown): Req {
  try {
    return schema.parse(typeof request === 'string' ? JSON.parse(request) : request);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DynamoError('request.invalid', `Invalid request: ${reason}`, { cause: error });
  }
}
