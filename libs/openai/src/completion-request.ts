/** `POST /v1/completions`: the request body. */
import { z } from 'zod';

import { commonShape } from './common-fields.ts';
import { responseFormatSchema } from './response-format.ts';
import { checkChoices, checkCommonRules, liftNvext, refuseNotImplemented } from './rules.ts';
import { isTokenId } from './token-id.ts';
import type { ValidationOptions } from './validation.ts';
import { invalidField, parseWith, refuseUnknownFields, requestObject } from './validation.ts';

/** One prompt of a request. */
export type CompletionPrompt =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tokens'; readonly tokenIds: readonly number[] };

const FORMS = 'expected a string, an array of strings, token ids, or an array of token id arrays';

const promptSchema = z.unknown().transform((value, context): readonly CompletionPrompt[] => {
  const prompts = tryPrompts(value);
  if (prompts === undefined || prompts.length === 0) context.addIssue(FORMS);
  return prompts ?? [];
});

const completionShape = {
  ...commonShape,
  prompt: promptSchema,
  echo: z.boolean().optional(),
  logprobs: z.number().int().min(0).max(5).optional(),
  response_format: responseFormatSchema.optional(),
  add_special_tokens: z.boolean().optional(),
};

const NOT_IMPLEMENTED = ['prompt_embeds', 'suffix', 'use_beam_search'];
const KNOWN_FIELDS: ReadonlySet<string> = new Set([
  ...Object.keys(completionShape),
  ...NOT_IMPLEMENTED,
]);
const completionSchema = z.object(completionShape);

/** A completion request after validation. Prompt texts may be placeholders of a large raw body. */
export type CompletionRequest = z.output<typeof completionSchema>;

/** Validates a completion request. @throws `request.invalid`, `runtime.not_implemented` */
export function parseCompletionRequest(
  body: unknown,
  options: ValidationOptions = {},
): CompletionRequest {
  const fields = requestObject(body);
  refuseNotImplemented(fields, NOT_IMPLEMENTED);
  refuseUnknownFields(fields, KNOWN_FIELDS, options);
  const request = liftNvext(parseWith(completionSchema, fields));
  checkCommonRules(request, request.response_format);
  checkChoices(request, request.prompt.length);
  checkEcho(request);
  return request;
}

/** OpenAI's answer has log probabilities of the echoed prompt too; less than that must not pass for it. */
function checkEcho({ echo, logprobs }: CompletionRequest): void {
  if (echo !== true || logprobs === undefined) return;
  throw invalidField(
    'logprobs',
    'logprobs together with echo is not supported: the prompt has no log probabilities here; leave one of the two out',
  );
}

function tryPrompts(value: unknown): readonly CompletionPrompt[] | undefined {
  if (typeof value === 'string') return [{ kind: 'text', text: value }];
  if (!Array.isArray(value)) return undefined;
  const items: readonly unknown[] = value;
  if (items.every((item) => typeof item === 'string')) {
    return items.map((text) => ({ kind: 'text', text }));
  }
  if (items.every(isTokenId)) return [{ kind: 'tokens', tokenIds: items }];
  if (!items.every(isTokenIds)) return undefined;
  return items.map((tokenIds) => ({ kind: 'tokens', tokenIds }));
}

function isTokenIds(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length > 0 && value.every(isTokenId);
}
