import { open } from 'node:fs/promises';

import { DynamoError } from '@dynamo-ts/base';
import { ModelFileChunk } from '@dynamo-ts/protocol';
import type { ModelFileRequest } from '@dynamo-ts/protocol';

import type { CardFile } from './card-file.ts';

/** Most bytes of one chunk. */
export const CARD_FILE_CHUNK_BYTES: number = 1024 * 1024;

/** Answers a frontend that lacks a file of a published card. Serves published files only, named by their checksum. */
export class CardFileServer {
  readonly #files = new Map<string, CardFile>();

  /** Makes the files of a card available. */
  publish(files: readonly CardFile[]): void {
    for (const file of files) {
      if (file.role !== 'builtin') this.#files.set(file.blake3, file);
    }
  }

  /**
   * The next chunk of a file from `offset`; empty at its end.
   *
   * @throws `request.not_found` for a checksum that is not published
   */
  async read(request: ModelFileRequest): Promise<ModelFileChunk> {
    const file = this.#files.get(request.blake3);
    if (file === undefined) {
      throw new DynamoError(
        'request.not_found',
        `no published model file has the checksum "${request.blake3.slice(0, 64)}"`,
      );
    }
    const offset = Math.min(Number(request.offset), file.sizeBytes);
    const data = Buffer.alloc(Math.min(CARD_FILE_CHUNK_BYTES, file.sizeBytes - offset));
    await using handle = await open(file.path, 'r');
    const { bytesRead } = await handle.read(data, 0, data.length, offset);
    return ModelFileChunk.create({ data: data.subarray(0, bytesRead) });
  }
}
