/**
 * Files of model cards on this machine, named by checksum.
 *
 * A file is taken from where its publisher has it when the same bytes are there, else from the cache, else fetched in
 * chunks from the publishing worker. What is fetched is never longer than declared, is verified before it gets its
 * name, and gets it by rename, so that several processes can fill one cache and a crash leaves no half file.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { DynamoError, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import type { ModelDeploymentCard, ModelFile } from '@dynamo-ts/protocol';

import { hasContent } from './card-file.ts';
import type { ModelFilePath, ModelFileRole } from './card-file.ts';

/** Gets the bytes of a file from `offset` on; at least one byte before its end. */
export type FetchChunk = (
  blake3: string,
  offset: number,
  options: AbortOptions,
) => Promise<Uint8Array>;

/** Settings of a {@link CardFileCache}. */
export interface CardFileCacheOptions {
  /** @default ~/.cache/dynamo/mdc */
  readonly directory?: string;
}

/** How to get files that this machine does not have. */
export interface ResolveFilesOptions extends AbortOptions {
  readonly fetchChunk: FetchChunk;
}

const ROLES: ReadonlySet<string> = new Set<ModelFileRole>([
  'tokenizer_json',
  'tokenizer_config',
  'chat_template',
  'config',
  'generation_config',
  'gguf',
  'gguf_vocabulary',
  'builtin',
]);

/** No tokenizer is larger; a declared size beyond it is a broken card. */
const LARGEST_FILE_BYTES = 1024 ** 3;

/** Finds or fetches the files of model cards. */
export class CardFileCache {
  readonly #blobs: string;
  readonly #fetching = new Map<string, Promise<void>>();

  constructor(options: CardFileCacheOptions = {}) {
    const directory = options.directory ?? join(homedir(), '.cache', 'dynamo', 'mdc');
    this.#blobs = join(directory, 'blobs');
  }

  /**
   * Paths of all files of the card that a model is loaded from.
   *
   * @throws `model.invalid` for a card that names impossible files, `model.checksum_mismatch` when what was fetched is
   * not what the card declares, or what `fetchChunk` throws
   */
  async resolve(
    card: ModelDeploymentCard,
    options: ResolveFilesOptions,
  ): Promise<readonly ModelFilePath[]> {
    const files = card.files.filter((file) => ROLES.has(file.role));
    return Promise.all(files.map((file) => this.#resolveFile(file, options)));
  }

  /** Where a file of this checksum is or will be. */
  blobPath(blake3: string): string {
    return join(this.#blobs, blake3);
  }

  /** Keeps bytes that this process made under their checksum. @returns the path */
  async store(blake3: string, bytes: Uint8Array): Promise<string> {
    const sizeBytes = bytes.byteLength;
    const path = this.blobPath(blake3);
    if (await hasContent(path, blake3, sizeBytes)) return path;
    await this.#download({ blake3, sizeBytes, name: blake3 }, { fetchChunk: fromMemory(bytes) });
    return path;
  }

  async #resolveFile(file: ModelFile, options: ResolveFilesOptions): Promise<ModelFilePath> {
    const role = file.role as ModelFileRole; // filtered by ROLES
    if (role === 'builtin') return { role, path: '' };
    const wanted = checkDeclared(file);
    if (file.path !== '' && (await hasContent(file.path, wanted.blake3, wanted.sizeBytes)))
      return { role, path: file.path };
    await this.#ensureBlob(wanted, options);
    return { role, path: this.blobPath(wanted.blake3) };
  }

  /** One fetch per checksum at a time; a caller that waited for another's failed fetch tries by itself. */
  async #ensureBlob(wanted: WantedFile, options: ResolveFilesOptions): Promise<void> {
    for (;;) {
      const running = this.#fetching.get(wanted.blake3);
      if (running === undefined) break;
      await running.catch(() => undefined);
    }
    const fetch = this.#fetchUnlessThere(wanted, options).finally(() =>
      this.#fetching.delete(wanted.blake3),
    );
    this.#fetching.set(wanted.blake3, fetch);
    await fetch;
  }

  async #fetchUnlessThere(wanted: WantedFile, options: ResolveFilesOptions): Promise<void> {
    if (await hasContent(this.blobPath(wanted.blake3), wanted.blake3, wanted.sizeBytes)) return;
    await this.#download(wanted, options);
  }

  async #download(wanted: WantedFile, options: ResolveFilesOptions): Promise<void> {
    await mkdir(this.#blobs, { recursive: true });
    const partial = `${this.blobPath(wanted.blake3)}.${randomUUID()}.partial`;
    try {
      await writeChunks(partial, wanted, options);
      if (!(await hasContent(partial, wanted.blake3, wanted.sizeBytes))) {
        throw mismatch(wanted, 'other bytes than the card declares');
      }
      await rename(partial, this.blobPath(wanted.blake3));
    } finally {
      await rm(partial, { force: true });
    }
  }
}

interface WantedFile {
  readonly blake3: string;
  readonly sizeBytes: number;
  readonly name: string;
}

/** A checksum becomes a file name, so nothing but hex may pass. */
function checkDeclared(file: ModelFile): WantedFile {
  const sizeBytes = Number(file.sizeBytes);
  if (!/^[0-9a-f]{64}$/.test(file.blake3) || sizeBytes > LARGEST_FILE_BYTES) {
    throw new DynamoError(
      'model.invalid',
      `the model card declares an impossible checksum or size for its ${file.role} file`,
    );
  }
  return { blake3: file.blake3, sizeBytes, name: file.name };
}

async function writeChunks(
  path: string,
  wanted: WantedFile,
  options: ResolveFilesOptions,
): Promise<void> {
  await using handle = await open(path, 'wx');
  for (let offset = 0; offset < wanted.sizeBytes;) {
    throwIfAborted(options.signal);
    const chunk = await options.fetchChunk(wanted.blake3, offset, { signal: options.signal });
    if (chunk.byteLength === 0) throw mismatch(wanted, `only ${offset} bytes`);
    offset += chunk.byteLength;
    if (offset > wanted.sizeBytes) throw mismatch(wanted, `more than ${wanted.sizeBytes} bytes`);
    await handle.write(chunk);
  }
}

function mismatch(wanted: WantedFile, got: string): DynamoError {
  return new DynamoError(
    'model.checksum_mismatch',
    `the worker sent ${got} for model file ${wanted.name} (${wanted.sizeBytes} bytes, ${wanted.blake3})`,
  );
}

function fromMemory(bytes: Uint8Array): FetchChunk {
  return (_blake3, offset) => Promise.resolve(bytes.subarray(offset));
}
