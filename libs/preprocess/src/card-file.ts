import { stat } from 'node:fs/promises';
import { basename } from 'node:path';

import { blake3File } from '@dynamo-ts/native';

import { DynamoError } from '@dynamo-ts/base';

/** What a file is to a model. `builtin` stands for the model that needs no file. */
export type ModelFileRole =
  | 'tokenizer_json'
  | 'tokenizer_config'
  | 'chat_template'
  | 'config'
  | 'generation_config'
  | 'gguf'
  | 'gguf_vocabulary'
  | 'builtin';

/** A file to load a model from. */
export interface ModelFilePath {
  readonly role: ModelFileRole;
  /** Empty for `builtin`. */
  readonly path: string;
}

/** A file of a model card that this process has. */
export interface CardFile extends ModelFilePath {
  readonly name: string;
  /** Lower hex. */
  readonly blake3: string;
  readonly sizeBytes: number;
}

/**
 * Measures a file.
 *
 * @throws `model.invalid` when it cannot be read
 */
export async function createCardFile(role: ModelFileRole, path: string): Promise<CardFile> {
  try {
    const [{ size }, blake3] = await Promise.all([stat(path), blake3File(path)]);
    return { role, path, name: basename(path), blake3, sizeBytes: size };
  } catch (error) {
    throw new DynamoError('model.invalid', `cannot read the model file ${path}`, { cause: error });
  }
}

/** Whether the file at `path` has this size and checksum; false when it cannot be read. */
export async function hasContent(
  path: string,
  blake3: string,
  sizeBytes: number,
): Promise<boolean> {
  try {
    const status = await stat(path);
    if (!status.isFile() || status.size !== sizeBytes) return false;
    return (await blake3File(path)) === blake3;
  } catch {
    return false;
  }
}
