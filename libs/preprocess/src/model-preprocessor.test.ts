import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { NativeTextModel } from '@dynamo-ts/native';
import {
  GenerateResponse,
  SamplingOptions,
  TextInput_Kind,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';

import { CardFileCache } from './card-file-cache.ts';
import { buildModelCard } from './model-card.ts';
import type { BuiltModelCard } from './model-card.ts';
import { ModelPreprocessor } from './model-preprocessor.ts';

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const chat = json({ messages: [{ role: 'user', content: 'Hello, wörld 😀' }] });

describe('ModelPreprocessor of the built-in model', () => {
  let folder: string;
  let built: BuiltModelCard;
  let model: ModelPreprocessor;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'preprocessor-'));
    const cache = new CardFileCache({ directory: folder });
    const source = { kind: 'builtin' } as const;
    built = await buildModelCard({ source, name: 'mock', kvCacheBlockSize: 4, cache });
    const fetchChunk = (): Promise<Uint8Array> => Promise.reject(new Error('nothing to fetch'));
    const files = await cache.resolve(built.card, { fetchChunk });
    model = await ModelPreprocessor.load({ card: built.card, files });
  });
  afterAll(async () => {
    await model.close();
    await rm(folder, { recursive: true, force: true });
  });

  function decode(ids: Uint32Array): string {
    const decoder = model.createDecoder({ eosTokenIds: [], skipSpecialTokens: false });
    const delta = decoder.push(GenerateResponse.create({ tokenIdsLe: tokenIdsToBytes(ids) }));
    return delta.text + decoder.flush();
  }

  it('has a card that says what frontends need', () => {
    expect(built.card).toMatchObject({
      modelType: ['chat', 'completions'],
      modelInput: 'tokens',
      contextLength: 131_072,
    });
    expect(built.card.eosTokenIds.length).toBeGreaterThan(0);
    expect(model.input).toBe('tokens');
  });

  it('renders, tokenises and hashes a chat in one call', async () => {
    const prompt = await model.prepareChat(chat, { keepFormattedPrompt: true });
    expect(prompt.formattedPrompt).toContain('Hello, wörld 😀');
    expect(decode(prompt.tokenIds)).toBe(prompt.formattedPrompt);
    expect(prompt.blockHashes).toHaveLength(Math.floor(prompt.tokenIds.length / 4));
    expect(model.prepareTokens(prompt.tokenIds).blockHashes).toEqual(prompt.blockHashes);
    const salted = await model.prepareChat(chat, { salt: 'tenant' });
    expect(salted.blockHashes).not.toEqual(prompt.blockHashes);
  });

  it('gives the text of completions back, whatever it is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
        const { tokenIds } = await model.prepareText(text, { addSpecialTokens: false });
        expect(decode(tokenIds)).toBe(text.toWellFormed());
      }),
    );
  });

  it('prepares texts of up to 2 KiB at once, and longer ones on another thread', async () => {
    const now = vi.spyOn(NativeTextModel.prototype, 'encodeTextNow');
    const elsewhere = vi.spyOn(NativeTextModel.prototype, 'encodeText');
    const calls = (): readonly number[] => [now.mock.calls.length, elsewhere.mock.calls.length];
    const plain = { addSpecialTokens: false };
    const short = 'ab'.repeat(1024);
    expect(decode((await model.prepareText(short, plain)).tokenIds)).toBe(short);
    expect(calls()).toEqual([1, 0]);
    for (const long of [`${short}a`, 'ä'.repeat(1025)])
      expect(decode((await model.prepareText(long, plain)).tokenIds)).toBe(long);
    expect(calls()).toEqual([1, 2]);
    vi.restoreAllMocks();
  });

  it('takes one of several prompts from a raw body', async () => {
    const body = json({ prompt: ['first', 'second'] });
    const plain = { addSpecialTokens: false };
    const [first, second] = [
      await model.prepareCompletion(body, 0, plain),
      await model.prepareCompletion(body, 1, plain),
    ];
    expect([decode(first.tokenIds), decode(second.tokenIds)]).toEqual(['first', 'second']);
  });

  it('refuses a body that is not a chat, and a prompt that is too long', async () => {
    await expect(model.prepareChat(json({ messages: 'no' }))).rejects.toMatchObject({
      code: 'request.invalid',
    });
    await expect(model.prepareChat(chat, { maxPromptTokens: 3 })).rejects.toMatchObject({
      code: 'request.context_length',
    });
  });

  it('shows ids by themselves for logprobs', async () => {
    const { tokenIds } = await model.prepareText('é', { addSpecialTokens: false });
    const bytes = [...tokenIds].map((id) => model.tokenBytes(id));
    expect(Buffer.concat(bytes).toString()).toBe('é');
    expect(model.tokenText(tokenIds[0] ?? 0)).toMatch(/é|\uFFFD/);
  });

  it('fills sampling values that the request leaves out', async () => {
    const card = { ...built.card, generationDefaultsJson: '{"temperature":0.6,"top_k":20,"x":1}' };
    const fetchChunk = (): Promise<Uint8Array> => Promise.reject(new Error('nothing to fetch'));
    const files = await new CardFileCache({ directory: folder }).resolve(card, { fetchChunk });
    await using other = await ModelPreprocessor.load({ card, files });
    const filled = other.withDefaults(SamplingOptions.create({ temperature: 0, topP: 0.5 }));
    expect(filled).toMatchObject({ temperature: 0, topP: 0.5, topK: 20 });
  });
});

describe('ModelPreprocessor of an engine that takes text', () => {
  it('passes requests on as they are', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'preprocessor-'));
    const cache = new CardFileCache({ directory: folder });
    const { card, files } = await buildModelCard({
      source: { kind: 'none' },
      name: 'remote',
      kvCacheBlockSize: 16,
      cache,
    });
    await using model = await ModelPreprocessor.load({ card, files });
    const prompt = await model.prepareChat(chat);
    expect(model.input).toBe('text');
    expect(prompt.tokenIds).toHaveLength(0);
    expect(prompt.textInput).toEqual({
      kind: TextInput_Kind.KIND_CHAT,
      bodyJson: Buffer.from(chat),
    });
    const decoder = model.createDecoder({ stop: ['x'] });
    expect(decoder.push(GenerateResponse.create({ text: 'hi' })).text).toBe('hi');
    await rm(folder, { recursive: true, force: true });
  });
});
