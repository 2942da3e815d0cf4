import type { SamplingOptions } from '@dynamo-ts/protocol';

/** Sampling values that a model's generation_config.json sets. */
export type GenerationDefaults = Partial<
  Pick<SamplingOptions, 'temperature' | 'topP' | 'topK' | 'minP' | 'repetitionPenalty'>
>;

const FIELDS = {
  temperature: 'temperature',
  top_p: 'topP',
  top_k: 'topK',
  min_p: 'minP',
  repetition_penalty: 'repetitionPenalty',
} as const;

/** Reads a card's `generation_defaults_json`; anything but known numbers is ignored. */
export function parseGenerationDefaults(json: string): GenerationDefaults {
  const defaults: GenerationDefaults = {};
  const values: unknown = json === '' ? {} : JSON.parse(json);
  if (typeof values !== 'object' || values === null) return defaults;
  for (const [key, value] of Object.entries(values)) {
    const field = isField(key) ? FIELDS[key] : undefined;
    if (field !== undefined && typeof value === 'number') defaults[field] = value;
  }
  return defaults;
}

/** Fills sampling values that the request does not set. */
export function withGenerationDefaults(
  sampling: SamplingOptions,
  defaults: GenerationDefaults,
): SamplingOptions {
  const filled = { ...sampling };
  for (const field of Object.values(FIELDS)) {
    const value = defaults[field];
    if (filled[field] === undefined && value !== undefined) filled[field] = value;
  }
  return filled;
}

function isField(key: string): key is keyof typeof FIELDS {
  return Object.hasOwn(FIELDS, key);
}
