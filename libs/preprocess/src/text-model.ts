/**
 * The native tokenizer and chat template of one model, with this project's errors.
 */
import * as native from '@dynamo-ts/native';

import { toDynamoError } from '@dynamo-ts/base';

import type { ModelFilePath } from './card-file.ts';
import type { TokenTableOptions } from './token-table.ts';
import type { NativeTextDecoder } from './token-decoder.ts';

/** What a model knows of itself. */
export interface TextModelInfo {
  readonly vocabSize: number;
  readonly eosTokenIds: Uint32Array;
  readonly bosTokenId?: number | undefined;
  readonly contextLength?: number | undefined;
  readonly hasChatTemplate: boolean;
  readonly byteLevel: boolean;
  readonly generationDefaultsJson?: string | undefined;
}

/** Result of one native call. */
export interface EncodedPrompt {
  readonly tokenIds: Uint32Array;
  readonly blockHashes: BigUint64Array;
  readonly formattedPrompt?: string | undefined;
  /** Tokens that came from the prefix cache. */
  readonly cachedTokens: number;
}

/** What every encoding call takes. */
export interface EncodeOptions {
  readonly blockSize: number;
  readonly loraName?: string | undefined;
  readonly salt?: string | undefined;
}

/** A loaded tokenizer with its template. */
export interface TextModel {
  encodeChat(
    body: Uint8Array,
    options: EncodeOptions & { readonly addGenerationPrompt?: boolean | undefined },
  ): Promise<EncodedPrompt>;
  encodeText(
    text: string,
    options: EncodeOptions & { readonly addSpecialTokens: boolean },
  ): Promise<EncodedPrompt>;
  encodeCompletion(
    body: Uint8Array,
    promptIndex: number,
    options: EncodeOptions & { readonly addSpecialTokens: boolean },
  ): Promise<EncodedPrompt>;
  tokenTable(): TokenTableOptions;
  readonly byteLevel: boolean;
  createDecoder(skipSpecial: boolean): NativeTextDecoder;
  decode(ids: Uint32Array, skipSpecial: boolean): string;
  info(): TextModelInfo;
  memoryBytes(): number;
  close(): void;
}

/** How to load a {@link TextModel}. */
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
): Promise<TextModel> {
  try {
    return await textBindings.NativeTextModel.load({
      files: files.map(({ role, path }) => ({ role, path })),
      ...options,
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
    return await textBindings.extractGgufVocabulary(path);
  } catch (error) {
    throw toDynamoError(error, 'model.invalid');
  }
}

const textBindings = native as unknown as {
  NativeTextModel: { load(options: object): Promise<TextModel> };
  extractGgufVocabulary(path: string): Promise<Uint8Array>;
};
