import { statSync } from 'node:fs';
import { basename } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';
import type { ModelSource } from '@dynamo-ts/preprocess';

/** The source that a path names: a folder of Hugging Face files or a GGUF file. @throws `model.invalid` for others */
export function modelSourceOf(path: string): ModelSource {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory();
  if (isFolder === undefined) {
    throw new DynamoError('model.invalid', `there is no model at ${path}; check the model path`);
  }
  if (isFolder) return { kind: 'folder', path };
  if (path.toLowerCase().endsWith('.gguf')) return { kind: 'gguf', path };
  throw new DynamoError(
    'model.invalid',
    `${path} is neither a folder of Hugging Face files nor a .gguf file`,
  );
}

/** The last part of a model path, without the ending of a GGUF file. */
export function modelNameOf(path: string): string {
  return basename(path).replace(/\.gguf$/i, '');
}
