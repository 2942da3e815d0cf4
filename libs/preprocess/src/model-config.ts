/**
 * What the JSON files of a Hugging Face model folder say that a card needs (RF 4.1): context length, ids that end an
 * answer, default sampling values. Files are read leniently, because real ones hold comments, NaN and trailing commas.
 */
import { readFile } from 'node:fs/promises';

import JSON5 from 'json5';

import { DynamoError } from '@dynamo-ts/base';

/** A parsed JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The parsed files of a folder; absent ones are empty objects. */
export interface ModelConfigFiles {
  /** config.json */
  readonly config: JsonObject;
  /** tokenizer_config.json */
  readonly tokenizerConfig: JsonObject;
  /** generation_config.json */
  readonly generationConfig: JsonObject;
}

/** Sub-objects in which multimodal models keep the language model's values. */
const NESTED_CONFIGS = ['text_config', 'llm_config', 'language_config', 'thinker_config'] as const;

/** Tokenizers without a limit write 1e30. */
const LARGEST_LENGTH = 2 ** 31;

const SAMPLING_DEFAULTS = ['temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty'] as const;

/**
 * Reads a JSON object leniently from a file.
 *
 * @throws `model.invalid` when the file cannot be read or is not an object
 */
export async function readJsonObject(path: string): Promise<JsonObject> {
  try {
    return parseJsonObject(await readFile(path, 'utf8'));
  } catch (error) {
    throw new DynamoError('model.invalid', `cannot read ${path}; it must be a JSON object`, {
      cause: error,
    });
  }
}

/** Reads a JSON object leniently. @throws SyntaxError or TypeError when it is none */
export function parseJsonObject(text: string): JsonObject {
  const value = parseLeniently(text);
  if (!isObject(value)) throw new TypeError('not a JSON object');
  return value;
}

/** Context length: `max_position_embeddings`, else the same in a nested config, else the tokenizer's `model_max_length`. */
export function contextLengthOf(files: ModelConfigFiles): number | undefined {
  return (
    lengthAt(files.config, 'max_position_embeddings') ??
    nestedConfigs(files.config)
      .map((nested) => lengthAt(nested, 'max_position_embeddings'))
      .find((length) => length !== undefined) ??
    lengthAt(files.tokenizerConfig, 'model_max_length')
  );
}

/** End-of-sequence ids: those of config.json and of generation_config.json together. */
export function eosTokenIdsOf(files: ModelConfigFiles): number[] {
  const objects = [files.config, ...nestedConfigs(files.config), files.generationConfig];
  return [...new Set(objects.flatMap((object) => idsAt(object, 'eos_token_id')))].sort(
    (a, b) => a - b,
  );
}

/** Beginning-of-sequence id of config.json or generation_config.json. */
export function bosTokenIdOf(files: ModelConfigFiles): number | undefined {
  const objects = [files.config, ...nestedConfigs(files.config), files.generationConfig];
  return objects.flatMap((object) => idsAt(object, 'bos_token_id'))[0];
}

/** Sampling values to use when a request has none; empty when generation_config.json asks for greedy decoding. */
export function generationDefaultsOf(generationConfig: JsonObject): Record<string, number> {
  if (generationConfig['do_sample'] === false) return {};
  return Object.fromEntries(
    SAMPLING_DEFAULTS.flatMap((name) => {
      const value = generationConfig[name];
      return typeof value === 'number' && Number.isFinite(value) ? [[name, value]] : [];
    }),
  );
}

function parseLeniently(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return JSON5.parse(text);
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function nestedConfigs(config: JsonObject): JsonObject[] {
  return NESTED_CONFIGS.flatMap((name) => {
    const nested = config[name];
    return isObject(nested) ? [nested, ...nestedConfigs(nested)] : [];
  });
}

function lengthAt(object: JsonObject, key: string): number | undefined {
  const value = object[key];
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < LARGEST_LENGTH
    ? value
    : undefined;
}

function idsAt(object: JsonObject, key: string): number[] {
  const value = object[key];
  const ids: readonly unknown[] = Array.isArray(value) ? value : [value];
  return ids.filter(
    (id): id is number => typeof id === 'number' && Number.isInteger(id) && id >= 0,
  );
}
