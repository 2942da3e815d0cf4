/** What differs between the two generating endpoints. */
import { parseChatRequest, parseCompletionRequest } from '@dynamo-ts/openai';
import type { OpenAiRequest, ResponseKind, ValidationOptions } from '@dynamo-ts/openai';
import type { HashOptions } from '@dynamo-ts/preprocess';

import type { PlannedPrompt } from '../generation/choice-plan.ts';
import { prepareChat, prepareCompletion } from '../generation/prompts.ts';
import type { ServedModel } from '../models/served-model.ts';

/** A validated request that knows how to prepare its prompts. */
export interface ParsedRequest {
  readonly request: OpenAiRequest;
  /** @param value the parsed body; undefined for a large one */
  prepare(
    model: ServedModel,
    body: { readonly bytes: Uint8Array; readonly value: unknown },
    hash: HashOptions,
  ): Promise<readonly PlannedPrompt[]>;
}

/** A generating endpoint. */
export interface GenerationEndpoint {
  readonly kind: ResponseKind;
  /** Metric label. */
  readonly label: 'chat_completions' | 'completions';
  readonly idPrefix: string;
  /** Name of the limit of tokens that a request template sets. */
  readonly limitField: 'max_completion_tokens' | 'max_tokens';
  /** @throws `request.invalid`, `runtime.not_implemented` */
  parse(body: unknown, options: ValidationOptions): ParsedRequest;
}

/** `POST /v1/chat/completions`. */
export const CHAT_ENDPOINT: GenerationEndpoint = {
  kind: 'chat',
  label: 'chat_completions',
  idPrefix: 'chatcmpl-',
  limitField: 'max_completion_tokens',
  parse: (body, options) => {
    const request = parseChatRequest(body, options);
    return {
      request,
      prepare: (model, received, hash) => prepareChat(model, { request, ...received }, hash),
    };
  },
};

/** `POST /v1/completions`. */
export const COMPLETION_ENDPOINT: GenerationEndpoint = {
  kind: 'completion',
  label: 'completions',
  idPrefix: 'cmpl-',
  limitField: 'max_tokens',
  parse: (body, options) => {
    const request = parseCompletionRequest(body, options);
    return {
      request,
      prepare: (model, received, hash) => prepareCompletion(model, { request, ...received }, hash),
    };
  },
};
