/**
 * Builds the model card that a worker publishes (RF 4.1): what a frontend needs to prepare requests for its model.
 */
import { blake3Hash } from '@dynamo-ts/native';

import { ModelDeploymentCard, ModelFile, ModelRuntimeConfig } from '@dynamo-ts/protocol';

import type { CardFile } from './card-file.ts';
import type { CardFileCache } from './card-file-cache.ts';
import { readModelSource } from './model-source.ts';
import type { ModelSource } from './model-source.ts';
import type { SourceFacts } from './source-facts.ts';

/** What the card is built from. */
export interface BuildModelCardOptions {
  readonly source: ModelSource;
  /** Name that clients use. */
  readonly name: string;
  readonly aliases?: readonly string[];
  /** @default 'tokens', and 'text' for source 'none' */
  readonly modelInput?: 'tokens' | 'text';
  /** @default chat and completions; completions only without a chat template */
  readonly modelType?: readonly ('chat' | 'completions')[];
  /** @default 'aggregated' */
  readonly workerType?: string;
  /** Overrides what the files say. */
  readonly contextLength?: number | undefined;
  readonly kvCacheBlockSize: number;
  /** Lowers the frontend's limit; 0 leaves it. @default 0 */
  readonly migrationLimit?: number | undefined;
  readonly runtimeConfig?: Partial<ModelRuntimeConfig>;
  /** A Jinja file that replaces the model's own chat template. */
  readonly chatTemplatePath?: string | undefined;
  readonly userDataJson?: string;
  /** Holds the vocabulary extracted from a GGUF file. */
  readonly cache: CardFileCache;
}

/** A card and the files it names. */
export interface BuiltModelCard {
  readonly card: ModelDeploymentCard;
  readonly files: readonly CardFile[];
}

/**
 * Reads the source and builds its card.
 *
 * @throws `model.invalid` naming the file that is missing or cannot be read
 */
export async function buildModelCard(options: BuildModelCardOptions): Promise<BuiltModelCard> {
  const facts = await readModelSource(options.source, options);
  const card = ModelDeploymentCard.create({
    displayName: options.name,
    slug: slugOf(options.name),
    aliases: [...(options.aliases ?? [])],
    ...inputOf(options, facts),
    workerType: options.workerType ?? 'aggregated',
    contextLength: options.contextLength ?? facts.contextLength ?? 0,
    kvCacheBlockSize: options.kvCacheBlockSize,
    migrationLimit: options.migrationLimit ?? 0,
    files: facts.files.map(publishedFile),
    eosTokenIds: [...facts.eosTokenIds],
    bosTokenId: facts.bosTokenId,
    runtimeConfig: ModelRuntimeConfig.create(options.runtimeConfig ?? {}),
    generationDefaultsJson: facts.generationDefaultsJson,
    userDataJson: options.userDataJson ?? '',
  });
  card.mdcSum = checksumOf(card);
  return { card, files: facts.files };
}

/**
 * BLAKE3 over what must agree between the workers of one model: everything that changes a prompt or the reading of an
 * answer, and nothing that describes one worker (capacity, paths, migration limit).
 */
export function checksumOf(card: ModelDeploymentCard): string {
  const files = card.files.map(({ role, blake3 }) => [role, blake3]).sort();
  const fields = {
    name: card.displayName,
    modelType: [...card.modelType].sort(),
    modelInput: card.modelInput,
    contextLength: card.contextLength,
    kvCacheBlockSize: card.kvCacheBlockSize,
    files,
    eosTokenIds: card.eosTokenIds,
    bosTokenId: card.bosTokenId ?? null,
    generationDefaults: card.generationDefaultsJson,
    toolCallParser: card.runtimeConfig?.toolCallParser ?? '',
    reasoningParser: card.runtimeConfig?.reasoningParser ?? '',
  };
  return blake3Hash(new TextEncoder().encode(JSON.stringify(fields)));
}

/** Lower case, with everything but letters, digits, `_` and `-` replaced by `-`. */
export function slugOf(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9_-]+/g, '-');
}

function inputOf(
  options: BuildModelCardOptions,
  facts: SourceFacts,
): { modelInput: 'tokens' | 'text'; modelType: ('chat' | 'completions')[] } {
  const modelInput = options.modelInput ?? (options.source.kind === 'none' ? 'text' : 'tokens');
  const canChat = facts.hasChatTemplate || modelInput === 'text';
  const modelType = options.modelType ?? (canChat ? ['chat', 'completions'] : ['completions']);
  return { modelInput, modelType: [...modelType] };
}

function publishedFile(file: CardFile): ModelFile {
  const { role, name, blake3, sizeBytes, path } = file;
  return ModelFile.create({ role, name, blake3, sizeBytes: BigInt(sizeBytes), path });
}
