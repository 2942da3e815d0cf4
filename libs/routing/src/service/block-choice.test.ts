import { describe, expect, it } from 'vitest';

import { chooseBlockSize } from './block-choice.ts';
import type { BlockCall, KnownBlocks } from './block-choice.ts';

const endpoint = 'n.c.e';
const models = [
  { model: 'small', blockSize: 16 },
  { model: 'large', blockSize: 64 },
];
const several: KnownBlocks = { endpoint, models, open: [], gone: new Set(['former']) };
const choice = (call: BlockCall, known: Partial<KnownBlocks> = {}) =>
  chooseBlockSize(call, { ...several, ...known });
const size = (blockSize: number) => ({ kind: 'size', blockSize });

describe('the block size that a call means', () => {
  it('is that of its model, the one that it names, or the only one', () => {
    expect(choice({ model: 'large' })).toEqual(size(64));
    expect(choice({ blockSize: 16 })).toEqual(size(16));
    expect(choice({ model: 'large', blockSize: 64 })).toEqual(size(64));
    const one = { models: [models[0] ?? { model: '', blockSize: 0 }] };
    expect(choice({}, one)).toEqual(size(16));
    expect(choice({ model: 'adapter' }, one)).toEqual(size(16));
  });

  it('is that of the open routers, or what the caller says, where no worker says any', () => {
    const nobody = { models: [] };
    expect(choice({}, nobody)).toEqual({ kind: 'nothing-known' });
    expect(choice({ blockSize: 32 }, nobody)).toEqual(size(32));
    expect(choice({}, { ...nobody, open: [32] })).toEqual(size(32));
    expect(choice({}, { ...nobody, open: [32, 64] })).toMatchObject({
      kind: 'ambiguous',
      message: `models of ${endpoint} have blocks of 32, 64 tokens: name one in model, or its block size in block_size`,
    });
  });

  it('is not guessed among several', () => {
    expect(choice({})).toEqual({
      kind: 'ambiguous',
      message: `models of ${endpoint} have blocks of 16, 64 tokens (small: 16, large: 64): name one in model, or its block size in block_size`,
    });
    expect(choice({ model: 'medium' })).toMatchObject({
      kind: 'ambiguous',
      message: expect.stringContaining(`model "medium" is not known at ${endpoint}; `) as string,
    });
    const moving = [...models, { model: 'small', blockSize: 32 }];
    expect(choice({ model: 'small' }, { models: moving })).toMatchObject({
      kind: 'ambiguous',
      message: `model "small" of ${endpoint} has blocks of 16, 32 tokens: name the size in block_size`,
    });
    expect(choice({ model: 'small', blockSize: 32 }, { models: moving })).toEqual(size(32));
  });

  it('is that of most workers of a model where any of them will do', () => {
    const moving = (few: number, many: number) => ({
      models: [
        { model: 'm', blockSize: 32, workers: few },
        { model: 'm', blockSize: 16, workers: many },
        { model: 'large', blockSize: 64, workers: 9 },
      ],
    });
    expect(choice({ model: 'm', anyBlocks: true }, moving(1, 3))).toEqual(size(16));
    expect(choice({ model: 'm', anyBlocks: true }, moving(3, 1))).toEqual(size(32));
    expect(choice({ model: 'm', anyBlocks: true }, moving(2, 2))).toEqual(size(16));
    expect(choice({ model: 'other', anyBlocks: true }, moving(1, 3))).toMatchObject({
      kind: 'ambiguous',
    });
  });

  it('is not that of another model when its own is served no more', () => {
    const one = { models: models.slice(0, 1) };
    expect(choice({ model: 'former' }, one)).toEqual({
      kind: 'gone',
      message: `no worker of ${endpoint} serves model "former" now; retry later`,
    });
    expect(choice({ model: 'former', blockSize: 16 }, one)).toMatchObject({ kind: 'gone' });
    const back = { models: [{ model: 'former', blockSize: 32 }] };
    expect(choice({ model: 'former' }, back)).toEqual(size(32));
  });

  it('is none that nobody has, but may be that of a model that was there', () => {
    expect(choice({ blockSize: 17 })).toMatchObject({ kind: 'absent' });
    expect(choice({ blockSize: 32 }, { open: [32] })).toEqual(size(32));
    expect(choice({ model: 'small', blockSize: 64 })).toMatchObject({
      kind: 'absent',
      message: `model "small" of ${endpoint} has blocks of 16 tokens, not of 64`,
    });
  });

  it('is asked for in a message that can be read, however many models there are', () => {
    const many = Array.from({ length: 100 }, (_, at) => ({ model: `m${at}`, blockSize: at + 1 }));
    const asked = choice({}, { models: many });
    expect(asked).toMatchObject({ message: expect.stringContaining('and 84 more') as string });
    expect(JSON.stringify(asked).length).toBeLessThan(400);
  });
});
