import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ModelDeploymentCard, ModelFile, ModelFileRequest } from '@dynamo-ts/protocol';

import { createCardFile } from './card-file.ts';
import type { CardFile } from './card-file.ts';
import { CardFileCache } from './card-file-cache.ts';
import type { FetchChunk } from './card-file-cache.ts';
import { CARD_FILE_CHUNK_BYTES, CardFileServer } from './card-file-server.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'card-files-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function published(bytes: Uint8Array): Promise<CardFile> {
  const path = join(folder, 'tokenizer.json');
  await writeFile(path, bytes);
  return createCardFile('tokenizer_json', path);
}

/** A card as a frontend on another machine sees it: the publisher's path means nothing there. */
function cardOf(file: CardFile, path = '/nowhere'): ModelDeploymentCard {
  const { role, name, blake3, sizeBytes } = file;
  const wire = ModelFile.create({ role, name, blake3, sizeBytes: BigInt(sizeBytes), path });
  return ModelDeploymentCard.create({ files: [wire] });
}

function fetchFrom(server: CardFileServer): FetchChunk {
  return async (blake3, offset) => {
    const request = ModelFileRequest.create({ blake3, offset: BigInt(offset) });
    return (await server.read(request)).data;
  };
}

function newCache(): CardFileCache {
  return new CardFileCache({ directory: join(folder, 'cache') });
}

const cachedNames = (): Promise<string[]> => readdir(join(folder, 'cache', 'blobs'));

const large = Buffer.alloc(2 * CARD_FILE_CHUNK_BYTES + 17, 'x');

describe('CardFileServer', () => {
  it('serves a file in chunks of at most 1 MiB and nothing after its end', async () => {
    const file = await published(large);
    const server = new CardFileServer();
    server.publish([file]);
    const fetchChunk = fetchFrom(server);
    const sizes: number[] = [];
    for (let offset = 0; sizes.at(-1) !== 0; offset += sizes.at(-1) ?? 0)
      sizes.push((await fetchChunk(file.blake3, offset, {})).byteLength);
    expect(sizes).toEqual([CARD_FILE_CHUNK_BYTES, CARD_FILE_CHUNK_BYTES, 17, 0]);
  });

  it('refuses a checksum that is not published', async () => {
    const fetchChunk = fetchFrom(new CardFileServer());
    await expect(fetchChunk('../../etc/passwd', 0, {})).rejects.toMatchObject({
      code: 'request.not_found',
    });
  });
});

describe('CardFileCache', () => {
  it('fetches a file once, also for many who ask at the same time in several caches', async () => {
    const file = await published(large);
    const server = new CardFileServer();
    server.publish([file]);
    const fetchChunk = vi.fn(fetchFrom(server));
    const cache = newCache();
    const all = await Promise.all([
      ...Array.from({ length: 8 }, () => cache.resolve(cardOf(file), { fetchChunk })),
      newCache().resolve(cardOf(file), { fetchChunk: fetchFrom(server) }),
    ]);
    const path = join(folder, 'cache', 'blobs', file.blake3);
    for (const files of all) expect(files).toEqual([{ role: 'tokenizer_json', path }]);
    expect(await readFile(path)).toEqual(large);
    expect(fetchChunk).toHaveBeenCalledTimes(3);
    expect(await cachedNames()).toEqual([file.blake3]);
  });

  it('reads the publisher’s own file when it is on this machine', async () => {
    const file = await published(large);
    const fetchChunk = vi.fn<FetchChunk>();
    const files = await newCache().resolve(cardOf(file, file.path), { fetchChunk });
    expect(files).toEqual([{ role: 'tokenizer_json', path: file.path }]);
    expect(fetchChunk).not.toHaveBeenCalled();
  });

  it('does not believe a local file or a cached one with other bytes', async () => {
    const file = await published(large);
    const server = new CardFileServer();
    server.publish([{ ...file, path: join(folder, 'original') }]);
    await writeFile(join(folder, 'original'), large);
    await writeFile(file.path, Buffer.alloc(large.length, 'y'));
    const cache = newCache();
    await cache.store('a'.repeat(64), Buffer.from('')).catch(() => undefined);
    await writeFile(cache.blobPath(file.blake3), Buffer.alloc(large.length, 'z'));
    const [resolved] = await cache.resolve(cardOf(file, file.path), {
      fetchChunk: fetchFrom(server),
    });
    expect(await readFile(resolved?.path ?? '')).toEqual(large);
  });

  it.each([
    ['other bytes', (): Buffer => Buffer.alloc(large.length, 'y')],
    ['too few bytes', (offset: number): Buffer => large.subarray(offset, large.length - 1)],
    ['too many bytes', (): Buffer => Buffer.alloc(large.length + 1, 'x')],
  ])('refuses %s and keeps nothing of them', async (_name, bytesAt) => {
    const file = await published(large);
    const fetchChunk: FetchChunk = (_blake3, offset) => Promise.resolve(bytesAt(offset));
    await expect(newCache().resolve(cardOf(file), { fetchChunk })).rejects.toMatchObject({
      code: 'model.checksum_mismatch',
    });
    expect(await cachedNames()).toEqual([]);
  });

  it('lets the next caller try when a fetch fails', async () => {
    const file = await published(large);
    const server = new CardFileServer();
    server.publish([file]);
    const cache = newCache();
    const gone: FetchChunk = () => Promise.reject(new Error('worker is gone'));
    const [first, second] = await Promise.allSettled([
      cache.resolve(cardOf(file), { fetchChunk: gone }),
      cache.resolve(cardOf(file), { fetchChunk: fetchFrom(server) }),
    ]);
    expect(first.status).toBe('rejected');
    expect(second.status).toBe('fulfilled');
  });

  it('refuses a checksum that is no checksum', async () => {
    const file = { ...(await published(large)), blake3: '../../escape' };
    const fetchChunk = vi.fn<FetchChunk>();
    await expect(newCache().resolve(cardOf(file), { fetchChunk })).rejects.toMatchObject({
      code: 'model.invalid',
    });
  });
});
