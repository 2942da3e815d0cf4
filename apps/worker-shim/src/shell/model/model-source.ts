/** Where the model's tokenizer and template come from, and what engines need of them. */
import { modelSourceOf as sourceOfPath } from '@dynamo-ts/models';
import { ModelPreprocessor, buildModelCard } from '@dynamo-ts/preprocess';
import type { CardFileCache, ModelSource } from '@dynamo-ts/preprocess';

import type { EngineVocabulary } from '../../engines/engine.ts';
import { createVocabulary } from './model-vocabulary.ts';

/** The source that a path names; without a path the built-in model. @throws `model.invalid` when there is nothing */
export function modelSourceOf(path: string | undefined): ModelSource {
  return path === undefined ? { kind: 'builtin' } : sourceOfPath(path);
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
