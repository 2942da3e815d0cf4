/**
 * The native tokenizer and chat template of one model, with this project's errors.
 */
import {
  NativeTextModel,
  extractGgufVocabulary as extractNative,
  inspectBody as inspectNative,
  repairJson as repairNative,
} from '@dynamo-ts/native';

import { toDynamoError } from '@dynamo-ts/base';

import type { ModelFilePath } from './card-file.ts';

/** How to load a model. */
export interface LoadTextModelOptions {
  /** Budget of the cache of tokenised prefixes; 0 turns it off. @default the native default, 64 MiB */
  readonly prefixCacheBytes?: number | undefined;
}

/**
 * Loads tokenizer and template.
 *
 * @throws `model.invalid` naming what cannot be read
 */
export async function loadTextModel(
  files: readonly ModelFilePath[],
  options: LoadTextModelOptions = {},
): Promise<NativeTextModel> {
  const { prefixCacheBytes } = options;
  try {
    return await NativeTextModel.load({
      files: files.map(({ role, path }) => ({ role, path })),
      ...(prefixCacheBytes === undefined ? {} : { prefixCacheBytes }),
    });
  } catch (error) {
    throw toDynamoError(error, 'model.invalid');
  }
}

/**
 * Vocabulary, template and metadata of a GGUF file, without its weights.
 *
 * @throws `model.invalid` when the file is not a GGUF file with a vocabulary we know
 */
export async function extractGgufVocabulary(path: string): Promise<Uint8Array> {
  try {
    return await extractNative(path);
  } catch (error) {
    throw toDynamoError(error, 'model.invalid');
  }
}

/**
 * The small fields of a large body, parsed off the event loop: its JSON with long texts replaced by placeholders.
 *
 * @throws `request.invalid` when it is not JSON
 */
export async function inspectBody(body: Uint8Array): Promise<{ readonly fieldsJson: string }> {
  try {
    return await inspectNative(body);
  } catch (error) {
    throw toDynamoError(error, 'request.invalid');
  }
}

/**
 * Valid JSON for a body that `JSON.parse` refuses because of raw control characters, broken UTF-8 or half surrogates.
 *
 * @throws `request.invalid` when that is not enough
 */
export function repairJson(body: Uint8Array): string {
  try {
    return repairNative(body);
  } catch (error) {
    throw toDynamoError(error, 'request.invalid');
  }
}
