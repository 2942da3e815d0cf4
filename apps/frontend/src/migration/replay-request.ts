/** The request with which another worker continues an answer (RF 2.2). */
import { GenerateRequest } from '@dynamo-ts/protocol';

/** What in a request keeps its answer from being continued elsewhere; undefined when nothing does. */
export function requestObstacle(
  request: GenerateRequest,
): 'text_input' | 'guided_decoding' | undefined {
  if (request.textInput !== undefined) return 'text_input';
  // The state of a grammar is in the engine that died.
  return request.samplingOptions?.guidedDecoding === undefined ? undefined : 'guided_decoding';
}

/**
 * The encoded request for the rest of the answer. The prompt now ends with the `count` tokens received: what was received is part of the prompt, and counts against the limits
 * of the answer. A limit that the client did not set stays unset, because the engine may know a better end.
 */
export function replayRequest(
  request: GenerateRequest,
  tokenIdsLe: Uint8Array,
  count: number,
): Uint8Array {
  const { stopConditions: stop } = request;
  return GenerateRequest.encode({
    ...request,
    tokenIdsLe,
    // They describe the shorter prompt.
    sequenceHashesLe: new Uint8Array(0),
    stopConditions: stop && {
      ...stop,
      maxTokens: stop.maxTokens === undefined ? undefined : Math.max(1, stop.maxTokens - count),
      minTokens: stop.minTokens === undefined ? undefined : Math.max(0, stop.minTokens - count),
    },
  }).finish();
}
