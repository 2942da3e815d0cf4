import { basename } from 'node:path';

import { blake3Hash } from '@dynamo-ts/native';

import { createCardFile } from './card-file.ts';
import type { CardFile } from './card-file.ts';
import type { CardFileCache } from './card-file-cache.ts';
import { readModelFolder } from './model-folder.ts';
import { factsOfModel } from './source-facts.ts';
import type { SourceFacts } from './source-facts.ts';
import { extractGgufVocabulary, loadTextModel } from './text-model.ts';

/** Where tokenizer, template and configuration come from. */
export type ModelSource =
  /** A folder of Hugging Face files. */
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'gguf'; readonly path: string }
  /** The byte-level model that needs no file. */
  | { readonly kind: 'builtin' }
  /** No files: the engine takes text and has its own. */
  | { readonly kind: 'none' };

/** What reading a source needs besides its path. */
export interface ReadModelSourceOptions {
  /** A Jinja file that replaces the model's own chat template. */
  readonly chatTemplatePath?: string | undefined;
  /** Holds the vocabulary extracted from a GGUF file. */
  readonly cache: CardFileCache;
}

const BUILTIN_NAME = 'builtin-byte-level';

/**
 * What a source tells about its model.
 *
 * @throws `model.invalid` naming the file that is missing or cannot be read
 */
export async function readModelSource(
  source: ModelSource,
  options: ReadModelSourceOptions,
): Promise<SourceFacts> {
  switch (source.kind) {
    case 'folder':
      return readModelFolder(source.path, options.chatTemplatePath);
    case 'gguf':
      return readGguf(source.path, options);
    case 'builtin':
      return readBuiltin(options);
    case 'none':
      return TEXT_ENGINE_FACTS;
  }
}

/** The engine renders and tokenises, so it is believed to chat. */
const TEXT_ENGINE_FACTS: SourceFacts = {
  files: [],
  contextLength: undefined,
  eosTokenIds: [],
  bosTokenId: undefined,
  hasChatTemplate: true,
  generationDefaultsJson: '{}',
};

async function readBuiltin(options: ReadModelSourceOptions): Promise<SourceFacts> {
  const blake3 = blake3Hash(new TextEncoder().encode(BUILTIN_NAME));
  const file: CardFile = { role: 'builtin', name: BUILTIN_NAME, path: '', blake3, sizeBytes: 0 };
  return askModel([file, ...(await ownTemplate(options))]);
}

/** Weights stay where they are: only vocabulary, template and metadata are published. */
async function readGguf(path: string, options: ReadModelSourceOptions): Promise<SourceFacts> {
  const bytes = await extractGgufVocabulary(path);
  const blake3 = blake3Hash(bytes);
  const file: CardFile = {
    role: 'gguf_vocabulary',
    name: `${basename(path)}.vocabulary`,
    path: await options.cache.store(blake3, bytes),
    blake3,
    sizeBytes: bytes.byteLength,
  };
  return askModel([file, ...(await ownTemplate(options))]);
}

async function ownTemplate(options: ReadModelSourceOptions): Promise<CardFile[]> {
  const path = options.chatTemplatePath;
  return path === undefined ? [] : [await createCardFile('chat_template', path)];
}

async function askModel(files: readonly CardFile[]): Promise<SourceFacts> {
  const model = await loadTextModel(files);
  try {
    return factsOfModel(model.info(), files);
  } finally {
    model.close();
  }
}
