import { describe, expect, it } from 'vitest';

import { modelListBody } from './models.ts';
import { sseAnnotation, sseError } from './sse.ts';

describe('modelListBody', () => {
  it('lists models by name', () => {
    const models = ['b', 'a'].map((id) => ({ id, created: 1, contextLength: 10 }));
    expect(modelListBody(models)).toEqual({
      object: 'list',
      data: ['a', 'b'].map((id) => ({
        id,
        object: 'model',
        created: 1,
        owned_by: 'dynamo',
        max_model_len: 10,
      })),
    });
  });
});

describe('server-sent events', () => {
  it('puts the value of an annotation into a comment', () => {
    expect(sseAnnotation('request_id', 'a\nb')).toBe('event: request_id\n: "a\\nb"\n\n');
  });

  it('sends an error as a data event', () => {
    const error = { message: 'm', type: 't', param: null, code: 'c' };
    expect(sseError({ error })).toBe(`data: ${JSON.stringify({ error })}\n\n`);
  });
});
