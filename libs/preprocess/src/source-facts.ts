import type { NativeModelInfo } from '@dynamo-ts/native';

import type { CardFile } from './card-file.ts';
import { generationDefaultsOf, parseJsonObject } from './model-config.ts';

/** What a source tells about its model. */
export interface SourceFacts {
  readonly files: readonly CardFile[];
  readonly contextLength: number | undefined;
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | undefined;
  readonly hasChatTemplate: boolean;
  readonly generationDefaultsJson: string;
}

/** What a loaded model knows of itself. */
export function factsOfModel(info: NativeModelInfo, files: readonly CardFile[]): SourceFacts {
  return {
    files,
    contextLength: info.contextLength,
    eosTokenIds: [...info.eosTokenIds],
    bosTokenId: info.bosTokenId,
    hasChatTemplate: info.hasChatTemplate,
    generationDefaultsJson: JSON.stringify(
      generationDefaultsOf(parseJsonObject(info.generationDefaultsJson ?? '{}')),
    ),
  };
}
