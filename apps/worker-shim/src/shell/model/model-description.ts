import { modelNameOf } from '@dynamo-ts/models';
import type { BuildModelCardOptions } from '@dynamo-ts/preprocess';

import type { WorkerConfig } from '../../config.ts';
import { publishesKvEvents } from '../../engines/engine.ts';
import type { EngineFacts, EngineKind } from '../../engines/engine.ts';
import { modelSourceOf } from './model-source.ts';

/** What goes into the model card: what the operator says, else what the engine says. */
export function describeModel(
  config: WorkerConfig,
  engine: EngineKind,
  facts: EngineFacts,
): Omit<BuildModelCardOptions, 'cache'> {
  return {
    source:
      facts.input === 'text'
        ? { kind: 'none' }
        : modelSourceOf(config.modelPath ?? facts.modelPath),
    name: modelName(config, facts),
    modelInput: facts.input,
    contextLength: smallest(config.contextLength, facts.contextLength),
    kvCacheBlockSize: facts.blockSize > 0 ? facts.blockSize : config.blockSize,
    migrationLimit: config.migrationLimit,
    chatTemplatePath: config.customJinjaTemplate,
    runtimeConfig: {
      totalKvBlocks: facts.totalKvBlocks,
      maxNumSeqs: facts.maxSeqs,
      maxNumBatchedTokens: facts.maxBatchedTokens,
      dataParallelSize: facts.dataParallelSize,
      dataParallelStartRank: facts.dataParallelStartRank ?? 0,
      kvEvents: publishesKvEvents(facts),
      toolCallParser: config.toolCallParser,
      reasoningParser: config.reasoningParser,
      engine,
    },
  };
}

/** An operator may lower what the engine has, not raise it. */
function smallest(wanted: number | undefined, has: number | undefined): number | undefined {
  return wanted === undefined || has === undefined ? (wanted ?? has) : Math.min(wanted, has);
}

function modelName(config: WorkerConfig, facts: EngineFacts): string {
  if (config.modelName !== undefined) return config.modelName;
  if (config.modelPath !== undefined) return modelNameOf(config.modelPath);
  return publicName(facts.modelNames[0] ?? 'model');
}

/** Clients know a model by the engine's name for it, `org/name` included; an engine that gives its file gets a short one. */
function publicName(engineName: string): string {
  const isFile = /^(?:\/|\.{1,2}\/)|\.gguf$/i.test(engineName);
  return isFile ? modelNameOf(engineName) : engineName;
}
