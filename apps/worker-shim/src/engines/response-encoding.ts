/**
 * Encodes `GenerateResponse` messages with one reused writer: making a writer costs ten times what encoding a step does.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { FinishReason, GenerateResponse, tokenIdsToBytes } from '@dynamo-ts/protocol';

/** An answer without any field set, to be spread into the ones that an adapter sends. */
const EMPTY_RESPONSE: GenerateResponse = GenerateResponse.fromPartial({});

const writer = new BinaryWriter();

/** Encodes any response; unset fields take no bytes. */
export function encodeResponse(response: Partial<GenerateResponse>): Uint8Array {
  return GenerateResponse.encode({ ...EMPTY_RESPONSE, ...response }, writer).finish();
}

/** Encodes a response that carries only token ids. */
export function encodeTokens(tokenIds: Uint32Array): Uint8Array {
  const ids = tokenIdsToBytes(tokenIds);
  return writer.uint32(10).bytes(ids).finish();
}

/** The answer to a request whose caller has stopped it. */
export const CANCELLED_RESPONSE: Uint8Array = encodeResponse({
  finishReason: FinishReason.FINISH_REASON_CANCELLED,
});
