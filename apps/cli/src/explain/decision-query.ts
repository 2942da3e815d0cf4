import { DynamoError } from '@dynamo-ts/base';
import type { Decision } from '@dynamo-ts/protocol';

/** Which decisions are meant. */
export type DecisionQuery =
  | { readonly kind: 'ids'; readonly ids: readonly string[] }
  /** All of one request: each choice has its own, and each move to another worker. */
  | { readonly kind: 'request'; readonly requestId: string }
  | { readonly kind: 'last' };

/** What was found of a {@link DecisionQuery}. */
export interface FoundDecisions {
  readonly decisions: readonly Decision[];
  /** Why what is missing was not found, with what to do; undefined when all was. */
  readonly problem?: DynamoError | undefined;
}

/** Whether a decision was made for a request, given as the header `x-dynamo-request-id` names it. */
export function isOfRequest(decision: Decision, requestId: string): boolean {
  const [own = ''] = decision.requestId.split('/', 1);
  return own === requestId || (own.startsWith(`${requestId}-`) && CHOICE.test(own));
}

/** Several choices of a request are told apart by this at the end of its id. */
const CHOICE = /-\d+$/;

/** What somebody asked for is not there. */
export function notFound(message: string): DynamoError {
  return new DynamoError('request.not_found', message);
}
