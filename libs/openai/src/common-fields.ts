/**
 * Fields that chat and text completions share: sampling, stopping, guided decoding, routing (RF 3.5 to 3.7).
 * Rules between fields are in `rules.ts`.
 */
import { z } from 'zod';

import { nvextSchema } from './nvext.ts';
import { routerConfigOverrideSchema } from './routing-fields.ts';
import { MAX_TOKEN_ID, isTokenId, tokenIdsSchema } from './token-id.ts';

const MAX_STOPS = 32;

const tokenId = z.number().int().min(0).max(MAX_TOKEN_ID);

const between = (min: number, max: number) => z.number().min(min).max(max);
const penalty = between(-2, 2);
const positiveCount = z.number().int().min(1).max(MAX_TOKEN_ID);
const text = z.string();
const jsonValue = z.unknown();

/** `stop`: strings or token ids, one or several. */
export interface StopField {
  readonly strings: readonly string[];
  readonly tokenIds: readonly number[];
}

const stopSchema = z.unknown().transform((value, context): StopField => {
  const entries: readonly unknown[] = Array.isArray(value) ? value : [value];
  const strings = entries.filter(isNonEmptyString);
  const tokenIds = entries.filter(isTokenId);
  if (entries.length > MAX_STOPS) {
    context.addIssue(`at most ${MAX_STOPS} stop sequences are allowed, got ${entries.length}`);
  } else if (strings.length + tokenIds.length !== entries.length) {
    context.addIssue('expected a non-empty string, an array of them, or an array of token ids');
  }
  return { strings, tokenIds };
});

function isNonEmptyString(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/**
 * OpenAI's seeds have 64 bits, more than a number holds; such a one comes as its digits (`json-body.ts`) and is folded to
 * 53 bits: the same seed still gives the same answer.
 */
const seedSchema = z.union([
  z.number().int(),
  z
    .string()
    .regex(/^-?\d{16,20}$/, { abort: true })
    .refine(isWideInteger)
    .transform((digits) => Number(BigInt.asIntN(53, BigInt(digits)))),
]);

function isWideInteger(digits: string): boolean {
  const value = BigInt(digits);
  return value === BigInt.asIntN(64, value) || value === BigInt.asUintN(64, value);
}

const logitBias = z.record(z.string().regex(/^\d+$/, 'keys must be token ids'), between(-100, 100));

const streamOptions = z.object({
  include_usage: z.boolean().nullish(),
  continuous_usage_stats: z.boolean().nullish(),
});

const metadata = z
  .record(
    z.string().max(64, 'keys have at most 64 characters'),
    z.string().max(512, 'values have at most 512 characters'),
  )
  .refine((pairs) => Object.keys(pairs).length <= 16, 'at most 16 pairs are allowed');

/** Shape shared by both endpoints. Every field is optional; null means unset and is removed before. */
export const commonShape = {
  model: z.string({ error: 'a model name is required' }).min(1, 'a model name is required'),
  stream: z.boolean().optional(),
  stream_options: streamOptions.optional(),
  n: z.number().int().min(1).max(128).optional(),
  stop: stopSchema.optional(),
  seed: seedSchema.optional(),
  user: z.string().min(1).optional(),
  metadata: metadata.optional(),
  temperature: between(0, 2).optional(),
  top_p: between(0, 1).optional(),
  top_k: z.number().int().min(-1).max(0x7fff_ffff).optional(),
  min_p: between(0, 1).optional(),
  frequency_penalty: penalty.optional(),
  presence_penalty: penalty.optional(),
  repetition_penalty: z.number().gt(0).max(2).optional(),
  length_penalty: penalty.optional(),
  logit_bias: logitBias.optional(),
  best_of: z.number().int().min(0).max(20).optional(),
  max_tokens: positiveCount.optional(),
  min_tokens: z.number().int().min(0).max(MAX_TOKEN_ID).optional(),
  ignore_eos: z.boolean().optional(),
  stop_token_ids: tokenIdsSchema.optional(),
  include_stop_str_in_output: z.boolean().optional(),
  skip_special_tokens: z.boolean().optional(),
  return_tokens_as_token_ids: z.boolean().optional(),
  prompt_logprobs: z.number().int().min(0).max(20).optional(),
  allowed_token_ids: tokenIdsSchema.optional(),
  bad_words: z.array(z.string().min(1)).optional(),
  bad_words_token_ids: z.array(z.union([tokenId, tokenIdsSchema])).optional(),
  detokenize: z.boolean().optional(),
  cache_salt: text.optional(),
  guided_json: jsonValue.optional(),
  guided_regex: text.optional(),
  guided_grammar: text.optional(),
  guided_choice: z.array(text).min(1).optional(),
  guided_decoding_backend: text.optional(),
  guided_whitespace_pattern: text.optional(),
  mm_processor_kwargs: jsonValue.optional(),
  router_config_override: routerConfigOverrideSchema.optional(),
  nvext: nvextSchema.optional(),
};

/** The shared fields after validation. */
export type CommonFields = z.output<z.ZodObject<typeof commonShape>>;
