import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';

import { createCardFile } from './card-file.ts';
import type { CardFile, ModelFileRole } from './card-file.ts';
import {
  bosTokenIdOf,
  contextLengthOf,
  eosTokenIdsOf,
  generationDefaultsOf,
  readJsonObject,
} from './model-config.ts';
import type { ModelConfigFiles } from './model-config.ts';
import type { SourceFacts } from './source-facts.ts';

const FOLDER_FILES: readonly (readonly [ModelFileRole, string])[] = [
  ['tokenizer_json', 'tokenizer.json'],
  ['tokenizer_config', 'tokenizer_config.json'],
  ['chat_template', 'chat_template.jinja'],
  ['config', 'config.json'],
  ['generation_config', 'generation_config.json'],
];

/**
 * Reads a folder of Hugging Face files.
 *
 * @throws `model.invalid` naming what is missing or cannot be read
 */
export async function readModelFolder(
  folder: string,
  chatTemplatePath?: string,
): Promise<SourceFacts> {
  const found = await findFolderFiles(folder, chatTemplatePath);
  const files = await Promise.all(found.map(({ role, path }) => createCardFile(role, path)));
  const configs = await readConfigs(files);
  return {
    files,
    contextLength: contextLengthOf(configs),
    eosTokenIds: eosTokenIdsOf(configs),
    bosTokenId: bosTokenIdOf(configs),
    hasChatTemplate:
      files.some(({ role }) => role === 'chat_template') ||
      Boolean(configs.tokenizerConfig['chat_template']),
    generationDefaultsJson: JSON.stringify(generationDefaultsOf(configs.generationConfig)),
  };
}

async function findFolderFiles(
  folder: string,
  chatTemplatePath: string | undefined,
): Promise<{ role: ModelFileRole; path: string }[]> {
  if (!(await isFolder(folder))) {
    throw new DynamoError('model.invalid', `the model folder ${folder} does not exist`);
  }
  const found: { role: ModelFileRole; path: string }[] = [];
  for (const [role, name] of FOLDER_FILES) {
    const replacement = role === 'chat_template' ? chatTemplatePath : undefined;
    const path = replacement ?? join(folder, name);
    if (replacement !== undefined || (await isFile(path))) found.push({ role, path });
  }
  if (!found.some(({ role }) => role === 'tokenizer_json')) {
    throw new DynamoError(
      'model.invalid',
      `${folder} holds no tokenizer.json; give a folder of Hugging Face files or a .gguf file`,
    );
  }
  return found;
}

async function readConfigs(files: readonly CardFile[]): Promise<ModelConfigFiles> {
  const read = async (role: ModelFileRole): Promise<Record<string, unknown>> => {
    const file = files.find((candidate) => candidate.role === role);
    return file === undefined ? {} : readJsonObject(file.path);
  };
  const [config, tokenizerConfig, generationConfig] = await Promise.all([
    read('config'),
    read('tokenizer_config'),
    read('generation_config'),
  ]);
  return { config, tokenizerConfig, generationConfig };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
