/** The request with which another worker continues an answer (RF 2.2). */
import { GenerateRequest } from '@dynamo-ts/protocol';

import type { TokenLog } from './token-log.ts';

/** What in a request keeps its answer from being continued elsewhere; undefined when nothing does. */
export function requestObstacle(
  request: GenerateRequest,
): 'text_input' | 'guided_decoding' | undefined {
  if (request.textInput !== undefined) return 'text_input';
  // The state of a grammar is in the engine that died.
  return request.samplingOptions?.guidedDecoding === undefined ? undefined : 'guided_decoding';
}

/**
 * The encoded request for the rest of the answer: what was received is part of the prompt, and counts against the limits
 * of the answer. A limit that the client did not set stays unset, because the engine may know a better end.
 */
export function replayRequest(request: GenerateRequest, received: TokenLog): Uint8Array {
  const { stopConditions: stop } = request;
  const { count } = received;
  return GenerateRequest.encode({
    ...request,
    tokenIdsLe: received.after(request.tokenIdsLe),
    // They describe the shorter prompt.
    sequenceHashesLe: new Uint8Array(0),
    stopConditions: stop && {
      ...stop,
      maxTokens: stop.maxTokens === undefined ? undefined : Math.max(1, stop.maxTokens - count),
      minTokens: stop.minTokens === undefined ? undefined : Math.max(0, stop.minTokens - count),
    },
  }).finish();
}
