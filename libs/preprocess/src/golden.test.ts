/** Decoding of real vocabularies equals Hugging Face's, however the ids arrive. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { GenerateResponse, tokenIdsToBytes } from '@dynamo-ts/protocol';

import { CardFileCache } from './card-file-cache.ts';
import { buildModelCard } from './model-card.ts';
import { ModelPreprocessor } from './model-preprocessor.ts';

interface Golden {
  readonly encode: readonly { text: string; special: boolean; ids: readonly number[] }[];
  readonly decode: readonly { ids: readonly number[]; skip: boolean; text: string }[];
}

const repository = new URL('../../../', import.meta.url);
const FETCH_TIMEOUT_MS = 180_000;

let modelsFolder: string;
beforeAll(() => {
  const script = fileURLToPath(new URL('scripts/test-models.mjs', repository));
  modelsFolder = execFileSync(process.execPath, [script]).toString().trim();
}, FETCH_TIMEOUT_MS);

describe.each(['qwen3', 'llama3', 'mistral'])('%s', (name) => {
  const file = new URL(`native/crates/text/tests/golden/${name}.json`, repository);
  const golden = JSON.parse(readFileSync(file, 'utf8')) as Golden;
  const folder = mkdtempSync(join(tmpdir(), 'golden-'));
  let model: ModelPreprocessor;

  beforeAll(async () => {
    const path = join(modelsFolder, name);
    const cache = new CardFileCache({ directory: folder });
    const source = { kind: 'folder', path } as const;
    const { card, files } = await buildModelCard({ source, name, kvCacheBlockSize: 16, cache });
    model = await ModelPreprocessor.load({ card, files });
  }, 60_000);
  afterAll(async () => {
    await model.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function decode(batches: readonly (readonly number[])[], skipSpecialTokens: boolean): string {
    const decoder = model.createDecoder({ eosTokenIds: [], skipSpecialTokens });
    const texts = batches.map((ids) => {
      const tokenIdsLe = tokenIdsToBytes(Uint32Array.from(ids));
      return decoder.push(GenerateResponse.create({ tokenIdsLe })).text;
    });
    return texts.join('') + decoder.flush();
  }

  it('decodes every recorded sequence, whole, id by id and cut in two anywhere', () => {
    expect(golden.decode.length).toBeGreaterThan(10);
    for (const { ids, skip, text } of golden.decode) {
      expect(decode([ids], skip)).toBe(text);
      expect(
        decode(
          ids.map((id) => [id]),
          skip,
        ),
      ).toBe(text);
      for (let cut = 1; cut < ids.length; cut += 1)
        expect(decode([ids.slice(0, cut), ids.slice(cut)], skip)).toBe(text);
    }
  });

  it('encodes every recorded text', async () => {
    for (const { text, special, ids } of golden.encode) {
      const prompt = await model.prepareText(text, { addSpecialTokens: special });
      expect([...prompt.tokenIds]).toEqual(ids);
    }
  });
});

describe('a SentencePiece vocabulary', () => {
  it('keeps the space of a first word that follows the prompt', async () => {
    const cache = new CardFileCache({ directory: mkdtempSync(join(tmpdir(), 'golden-')) });
    const source = { kind: 'folder', path: join(modelsFolder, 'mistral') } as const;
    const { card, files } = await buildModelCard({
      source,
      name: 'mistral',
      kvCacheBlockSize: 16,
      cache,
    });
    await using model = await ModelPreprocessor.load({ card, files });
    const plain = { addSpecialTokens: false };
    const { tokenIds: promptTail } = await model.prepareText('The sky is', plain);
    const { tokenIds: answer } = await model.prepareText('blue', plain);
    const output = GenerateResponse.create({ tokenIdsLe: tokenIdsToBytes(answer) });
    expect(model.createDecoder({ promptTail }).push(output).text).toBe(' blue');
    expect(model.createDecoder().push(output).text).toBe('blue');
  });
});
