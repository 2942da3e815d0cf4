/** `POST /v1/chat/completions`: the request body. */
import { z } from 'zod';

import { commonShape } from './common-fields.ts';
import { messagesSchema, toolChoiceSchema, toolsSchema } from './messages.ts';
import { responseFormatSchema } from './response-format.ts';
import { checkCommonRules, liftNvext, refuseNotImplemented } from './rules.ts';
import type { ValidationOptions } from './validation.ts';
import { invalidField, parseWith, refuseUnknownFields, requestObject } from './validation.ts';

const chatShape = {
  ...commonShape,
  messages: messagesSchema,
  tools: toolsSchema.optional(),
  tool_choice: toolChoiceSchema.optional(),
  parallel_tool_calls: z.boolean().optional(),
  logprobs: z.boolean().optional(),
  top_logprobs: z.number().int().min(0).max(20).optional(),
  max_completion_tokens: z.number().int().min(1).max(0xffff_ffff).optional(),
  response_format: responseFormatSchema.optional(),
  reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']).optional(),
  service_tier: z.enum(['auto', 'default', 'flex', 'scale', 'priority']).optional(),
  modalities: z.array(z.literal('text', 'only text answers are supported')).optional(),
  // Read by the chat template.
  chat_template_args: z.looseObject({}).optional(),
  chat_template_kwargs: z.looseObject({}).optional(),
  documents: z.array(z.unknown()).optional(),
  add_generation_prompt: z.boolean().optional(),
  continue_final_message: z.boolean().optional(),
  // Known to OpenAI's API, without effect here.
  store: z.boolean().optional(),
  prediction: z.unknown().optional(),
  verbosity: z.string().optional(),
  safety_identifier: z.string().optional(),
  prompt_cache_key: z.string().optional(),
  prompt_cache_retention: z.string().optional(),
};

const NOT_IMPLEMENTED = [
  'functions',
  'function_call',
  'audio',
  'web_search_options',
  'use_beam_search',
];
const KNOWN_FIELDS: ReadonlySet<string> = new Set([...Object.keys(chatShape), ...NOT_IMPLEMENTED]);
const chatSchema = z.object(chatShape);

/** A chat request after validation. Message texts may be placeholders: the prompt is made from the raw body. */
export type ChatRequest = z.output<typeof chatSchema>;

/** Validates a chat request. @throws `request.invalid`, `runtime.not_implemented` */
export function parseChatRequest(body: unknown, options: ValidationOptions = {}): ChatRequest {
  const fields = requestObject(body);
  refuseNotImplemented(fields, NOT_IMPLEMENTED);
  refuseUnknownFields(fields, KNOWN_FIELDS, options);
  const request = liftNvext(parseWith(chatSchema, fields));
  checkCommonRules(request, request.response_format);
  if (request.top_logprobs !== undefined && request.logprobs !== true) {
    throw invalidField('top_logprobs', 'top_logprobs needs "logprobs": true');
  }
  if (request.add_generation_prompt === true && request.continue_final_message === true) {
    throw invalidField(
      'continue_final_message',
      'add_generation_prompt and continue_final_message exclude each other',
    );
  }
  return request;
}
