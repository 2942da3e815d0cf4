import type { CardFile } from './card-file.ts';
import type { TextModelInfo } from './text-model.ts';

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
export function factsOfModel(info: TextModelInfo, files: readonly CardFile[]): SourceFacts {
  return {
    files,
    contextLength: info.contextLength ?? undefined,
    eosTokenIds: [...info.eosTokenIds],
    bosTokenId: info.bosTokenId ?? undefined,
    hasChatTemplate: info.hasChatTemplate,
    generationDefaultsJson: info.generationDefaultsJson ?? '{}',
  };
}
