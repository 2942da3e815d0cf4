export type { ChatRequest } from './chat-request.ts';
export { parseChatRequest } from './chat-request.ts';
export { ChoiceFold } from './choice-fold.ts';
export type {
  ChoiceChunksOptions,
  ChoiceFinish,
  ChunkParts,
  ResponseHead,
  ResponseKind,
} from './chunks.ts';
export { ChoiceChunks, usageChunk } from './chunks.ts';
export type { CommonFields, StopField } from './common-fields.ts';
export type { CompletionPrompt, CompletionRequest } from './completion-request.ts';
export { parseCompletionRequest } from './completion-request.ts';
export type {
  ChatChunk,
  ChatChunkChoice,
  CompletionChunk,
  CompletionChunkChoice,
  EngineChunk,
  EngineChunkChoice,
  EngineUsage,
} from './engine-chunks.ts';
export type { ErrorBody, PublicError, PublicErrorOptions } from './error-body.ts';
export { toPublicError } from './error-body.ts';
export type { OpenAiRequest } from './generate-request.ts';
export {
  requestedLogprobs,
  requestedMaxTokens,
  requestedSalt,
  requestedStopIds,
  toGenerateRequest,
} from './generate-request.ts';
export type { JsonBody } from './json-body.ts';
export { parseJsonBody, parseJsonText } from './json-body.ts';
export type {
  ChatLogprob,
  CompletionLogprobs,
  LogprobFormatterOptions,
  TokenTexts,
} from './logprobs.ts';
export { LogprobFormatter } from './logprobs.ts';
export type { ModelBody, ServedModel } from './models.ts';
export { modelBody, modelListBody } from './models.ts';
export type { Nvext } from './nvext.ts';
export type { ResponseFormat } from './response-format.ts';
export type { ResponseParts } from './responses.ts';
export { responseJson } from './responses.ts';
export type { RouterConfigOverrideFields } from './routing-fields.ts';
export { SSE_CONTENT_TYPE, SSE_DONE, SSE_KEEP_ALIVE, sseAnnotation, sseError } from './sse.ts';
export type { UsageBody, UsageCounts } from './usage.ts';
export { usageBody } from './usage.ts';
export type { JsonObject, ValidationOptions } from './validation.ts';
