/** Lets an engine be an async generator over requests of frontends; the bytes between them are `dynamo.llm.v1`. */
import { DynamoError } from '@dynamo-ts/base';
import {
  FinishReason,
  GenerateRequest,
  GenerateResponse,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { codecHandler } from '@dynamo-ts/runtime';
import type { Context, RawHandler } from '@dynamo-ts/runtime';

/** A frontend's request. `tokenIds` is empty and `textInput` set when the model was registered for text. */
export interface EngineRequest extends Omit<GenerateRequest, 'tokenIdsLe'> {
  readonly tokenIds: Uint32Array;
}

/** Why an answer ended. */
export type EngineFinishReason =
  'eos' | 'length' | 'stop' | 'error' | 'cancelled' | 'content_filter' | 'tool_calls';

/** A step of an answer. The last one has a finish reason. */
export interface EngineOutput extends Partial<
  Omit<GenerateResponse, 'tokenIdsLe' | 'finishReason'>
> {
  /** New tokens. */
  readonly tokenIds?: Uint32Array | readonly number[];
  readonly finishReason?: EngineFinishReason;
}

/** An engine: answers a request by yielding steps. It should end when the context is stopped. */
export type EngineGenerate = (
  request: EngineRequest,
  context: Context,
) => AsyncIterable<EngineOutput>;

const FINISH_REASONS: Readonly<Record<EngineFinishReason, FinishReason>> = {
  eos: FinishReason.FINISH_REASON_EOS,
  length: FinishReason.FINISH_REASON_LENGTH,
  stop: FinishReason.FINISH_REASON_STOP,
  error: FinishReason.FINISH_REASON_ERROR,
  cancelled: FinishReason.FINISH_REASON_CANCELLED,
  content_filter: FinishReason.FINISH_REASON_CONTENT_FILTER,
  tool_calls: FinishReason.FINISH_REASON_TOOL_CALLS,
};

/** A handler for `endpoint.serveRaw` that frontends can send their requests to. */
export function engineHandler(generate: EngineGenerate): RawHandler {
  return codecHandler(generate, { decode: decodeRequest, encode: encodeOutput });
}

function decodeRequest(payload: Uint8Array): EngineRequest {
  try {
    const { tokenIdsLe, ...request } = GenerateRequest.decode(payload);
    return { ...request, tokenIds: tokenIdsFromBytes(tokenIdsLe) };
  } catch (error) {
    throw new DynamoError('request.invalid', 'the payload is not a GenerateRequest', {
      cause: error,
    });
  }
}

function encodeOutput({ tokenIds, finishReason, ...output }: EngineOutput): Uint8Array {
  const response = GenerateResponse.fromPartial({});
  Object.assign(response, output);
  if (tokenIds !== undefined) response.tokenIdsLe = tokenIdsToBytes(Uint32Array.from(tokenIds));
  if (finishReason !== undefined) response.finishReason = FINISH_REASONS[finishReason];
  return GenerateResponse.encode(response).finish();
}
