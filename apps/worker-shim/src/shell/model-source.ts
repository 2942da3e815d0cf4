/** Where the model's tokenizer and template come from, and what engines need of them. */
import { statSync } from 'node:fs';
import { basename } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';
import { ModelPreprocessor, buildModelCard } from '@dynamo-ts/preprocess';
import type { CardFileCache, ModelSource } from '@dynamo-ts/preprocess';

import type { EngineVocabulary } from '../engines/engine.ts';
import { createVocabulary } from './model-vocabulary.ts';

/** The source that a path names; without a path the built-in model. @throws `model.invalid` when there is nothing */
export function modelSourceOf(path: string | undefined): ModelSource {
  if (path === undefined) return { kind: 'builtin' };
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory();
  if (isFolder === undefined) {
    throw new DynamoError('model.invalid', `there is no model at ${path}; check --model-path`);
  }
  if (isFolder) return { kind: 'folder', path };
  if (path.toLowerCase().endsWith('.gguf')) return { kind: 'gguf', path };
  throw new DynamoError(
    'model.invalid',
    `${path} is neither a folder of Hugging Face files nor a .gguf file; check --model-path`,
  );
}

/** The last part of a model path, without the ending of a GGUF file. */
export function nameOfPath(path: string): string {
  return basename(path).replace(/\.gguf$/i, '');
}

/** What a model says about itself without its engine. */
export interface ModelText {
  readonly vocabulary: EngineVocabulary;
  /** Undefined when its files do not say. */
  readonly contextLength: number | undefined;
}

/** Reads the vocabulary of a model. @throws `model.invalid` */
export async function loadModelText(source: ModelSource, cache: CardFileCache): Promise<ModelText> {
  const { card, files } = await buildModelCard({
    source,
    name: source.kind,
    kvCacheBlockSize: 1,
    cache,
  });
  await using model = await ModelPreprocessor.load({ card, files, prefixCacheBytes: 0 });
  return {
    vocabulary: createVocabulary(model.tokenTable(), card.eosTokenIds),
    contextLength: card.contextLength === 0 ? undefined : card.contextLength,
  };
}
