import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { CardFileCache } from './card-file-cache.ts';
import { buildModelCard, slugOf } from './model-card.ts';
import type { BuildModelCardOptions, BuiltModelCard } from './model-card.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'model-card-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function write(files: Record<string, string | object>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    await writeFile(join(folder, name), text);
  }
}

function build(options: Partial<BuildModelCardOptions> = {}): Promise<BuiltModelCard> {
  return buildModelCard({
    source: { kind: 'folder', path: folder },
    name: 'Org/Test-Model',
    kvCacheBlockSize: 16,
    cache: new CardFileCache({ directory: join(folder, 'cache') }),
    ...options,
  });
}

describe('buildModelCard from a folder', () => {
  it('takes context length, end ids and defaults from the files', async () => {
    await write({
      'tokenizer.json': {},
      'tokenizer_config.json': { model_max_length: 999, chat_template: '{{ messages }}' },
      'config.json': { max_position_embeddings: 4096, eos_token_id: 2, bos_token_id: 1 },
      'generation_config.json': { eos_token_id: [7, 2], temperature: 0.6, top_k: 20, extra: 'x' },
    });
    const { card, files } = await build();
    expect(card).toMatchObject({
      displayName: 'Org/Test-Model',
      slug: 'org-test-model',
      contextLength: 4096,
      eosTokenIds: [2, 7],
      bosTokenId: 1,
      modelType: ['chat', 'completions'],
      modelInput: 'tokens',
    });
    expect(JSON.parse(card.generationDefaultsJson)).toEqual({ temperature: 0.6, top_k: 20 });
    expect(card.files.map(({ role }) => role)).toEqual([
      'tokenizer_json',
      'tokenizer_config',
      'config',
      'generation_config',
    ]);
    expect(files.map(({ blake3 }) => blake3)).toEqual(card.files.map(({ blake3 }) => blake3));
    expect(card.mdcSum).toMatch(/^[0-9a-f]{64}$/);
  });

  it('finds the context length in a nested config, then in the tokenizer config', async () => {
    await write({
      'tokenizer.json': {},
      'tokenizer_config.json': { model_max_length: 999 },
      'config.json': { text_config: { max_position_embeddings: 2048, eos_token_id: 5 } },
    });
    expect((await build()).card).toMatchObject({ contextLength: 2048, eosTokenIds: [5] });
    await write({ 'config.json': {} });
    expect((await build()).card.contextLength).toBe(999);
    await write({ 'tokenizer_config.json': '{"model_max_length": 1e30}' });
    expect((await build()).card.contextLength).toBe(0);
    expect((await build({ contextLength: 64 })).card.contextLength).toBe(64);
  });

  it('offers completions only without a chat template', async () => {
    await write({ 'tokenizer.json': {} });
    expect((await build()).card.modelType).toEqual(['completions']);
    await write({ 'chat_template.jinja': '{{ messages }}' });
    expect((await build()).card.modelType).toEqual(['chat', 'completions']);
  });

  it('reads JSON with comments, trailing commas and NaN', async () => {
    await write({
      'tokenizer.json': {},
      'config.json': '{"max_position_embeddings": 128, /* why */ "rope": NaN, "e": [1,],}',
    });
    expect((await build()).card.contextLength).toBe(128);
  });

  it('says which file is missing or broken', async () => {
    await expect(build()).rejects.toMatchObject({
      code: 'model.invalid',
      message: expect.stringContaining('tokenizer.json') as string,
    });
    const source = { kind: 'folder', path: join(folder, 'absent') } as const;
    await expect(build({ source })).rejects.toMatchObject({
      message: expect.stringContaining('does not exist') as string,
    });
    await write({ 'tokenizer.json': {}, 'config.json': '{"a": ' });
    await expect(build()).rejects.toMatchObject({
      code: 'model.invalid',
      message: expect.stringContaining('config.json') as string,
    });
  });

  it('has one checksum for all workers of a model and another when a prompt would differ', async () => {
    await write({ 'tokenizer.json': {}, 'config.json': { eos_token_id: 2 } });
    const { mdcSum } = (await build()).card;
    const workers = { runtimeConfig: { totalKvBlocks: 99 }, migrationLimit: 3 };
    expect((await build(workers)).card.mdcSum).toBe(mdcSum);
    expect((await build({ kvCacheBlockSize: 32 })).card.mdcSum).not.toBe(mdcSum);
    expect((await build({ runtimeConfig: { toolCallParser: 'x' } })).card.mdcSum).not.toBe(mdcSum);
    await write({ 'tokenizer.json': { changed: true } });
    expect((await build()).card.mdcSum).not.toBe(mdcSum);
  });
});

describe('buildModelCard without files', () => {
  it('describes an engine that takes text', async () => {
    const { card, files } = await build({ source: { kind: 'none' } });
    expect(card).toMatchObject({ modelInput: 'text', modelType: ['chat', 'completions'] });
    expect(files).toEqual([]);
  });
});

describe('slugOf', () => {
  it('keeps letters, digits, dash and underscore', () => {
    expect(slugOf('Qwen/Qwen3-0.6B_x')).toBe('qwen-qwen3-0-6b_x');
  });
});
