export type { CardFile, ModelFilePath, ModelFileRole } from './card-file.ts';
export type { CardFileCacheOptions, FetchChunk, ResolveFilesOptions } from './card-file-cache.ts';
export { CardFileCache } from './card-file-cache.ts';
export { CARD_FILE_CHUNK_BYTES, CardFileServer } from './card-file-server.ts';
export type { ChoiceDecoderOptions, StopOptions } from './choice-decoder.ts';
export { ChoiceDecoder } from './choice-decoder.ts';
export type { DecodedDeltaOptions, DecodedFinishReason } from './decoded-delta.ts';
export { DecodedDelta } from './decoded-delta.ts';
export type { GenerationDefaults } from './generation-defaults.ts';
export { parseGenerationDefaults, withGenerationDefaults } from './generation-defaults.ts';
export type { BuildModelCardOptions, BuiltModelCard } from './model-card.ts';
export { buildModelCard, checksumOf, slugOf } from './model-card.ts';
export type { ModelSource } from './model-source.ts';
export type {
  CreateDecoderOptions,
  HashOptions,
  LoadPreprocessorOptions,
  PrepareChatOptions,
  PreparedPrompt,
  PrepareOptions,
  PrepareTextOptions,
} from './model-preprocessor.ts';
export { ModelPreprocessor } from './model-preprocessor.ts';
export { inspectBody, repairJson } from './text-model.ts';
export type { TokenDecoder } from './token-decoder.ts';
export { ByteTableDecoder, NativeTokenDecoder, textOnlyDecoder } from './token-decoder.ts';
export type { TokenTableOptions } from './token-table.ts';
export { TokenTable } from './token-table.ts';
