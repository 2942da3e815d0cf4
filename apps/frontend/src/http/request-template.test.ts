import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { GenerationBody } from './generation-body.ts';
import { fillFromTemplate, readRequestTemplate } from './request-template.ts';

const TEMPLATE = { model: 'default', temperature: 0.7, max_completion_tokens: 64 };

function small(value: object): GenerationBody {
  return { fields: value, value, bytes: Buffer.from(JSON.stringify(value)) };
}

describe('fillFromTemplate', () => {
  it('fills what is missing, empty or zero, for every reader of the body', () => {
    const filled = fillFromTemplate(
      small({ model: '', temperature: 0, messages: [] }),
      TEMPLATE,
      'max_completion_tokens',
    );
    expect(filled.fields).toEqual({ ...TEMPLATE, messages: [] });
    expect(filled.value).toEqual(filled.fields);
    expect(JSON.parse(Buffer.from(filled.bytes).toString())).toEqual(filled.fields);
  });

  it('leaves what the client says, and a body that needs nothing, as they are', () => {
    const own = small({ model: 'mine', temperature: 0.1, max_tokens: 5 });
    expect(fillFromTemplate(own, TEMPLATE, 'max_completion_tokens')).toBe(own);
    expect(fillFromTemplate(own, TEMPLATE, 'max_tokens')).toBe(own);
    const wrong: GenerationBody = { fields: [], value: [], bytes: Buffer.from('[]') };
    expect(fillFromTemplate(wrong, TEMPLATE, 'max_tokens')).toBe(wrong);
  });

  it('names the limit as the endpoint does', () => {
    const { fields } = fillFromTemplate(
      small({ model: 'm', temperature: 1 }),
      TEMPLATE,
      'max_tokens',
    );
    expect(fields).toEqual({ model: 'm', temperature: 1, max_tokens: 64 });
  });

  it('adds to the bytes of a large body, which is not parsed', () => {
    const text = '{"messages":[{"content":"}"}],"temperature":0} \n';
    const large = {
      fields: { messages: [{ content: '' }], temperature: 0 },
      value: undefined,
      bytes: Buffer.from(text),
    };
    const filled = fillFromTemplate(large, TEMPLATE, 'max_tokens');
    expect(JSON.parse(Buffer.from(filled.bytes).toString())).toEqual({
      messages: [{ content: '}' }],
      model: 'default',
      temperature: 0.7,
      max_tokens: 64,
    });
    expect(filled.fields).toMatchObject({ temperature: 0.7, messages: [{ content: '' }] });
  });
});

describe('readRequestTemplate', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dynamo-template-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it.each([
    ['{"model":"m","temperature":0.5}', undefined],
    ['{}', undefined],
    ['[]', /is no JSON object/],
    ['{', /cannot read/],
    ['{"top_p":1}', /an unknown field top_p/],
    ['{"temperature":"hot"}', /no number in temperature/],
  ])('reads %s', async (text, message) => {
    const path = join(folder, 'template.json');
    await writeFile(path, text);
    if (message === undefined) expect(readRequestTemplate(path)).toEqual(JSON.parse(text));
    else expect(() => readRequestTemplate(path)).toThrow(message);
  });
});
