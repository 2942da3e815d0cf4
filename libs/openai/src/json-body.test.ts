import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { escapeControlCharacters, parseJsonBody, parseJsonText } from './json-body.ts';

const bytesOf = (text: string): Uint8Array => Buffer.from(text);

describe('parseJsonBody', () => {
  it('gives valid JSON back with its own bytes', () => {
    const bytes = bytesOf('{"a":"wörld"}');
    expect(parseJsonBody(bytes)).toEqual({ value: { a: 'wörld' }, bytes });
    expect(parseJsonBody(bytes).bytes).toBe(bytes);
  });

  it('replaces invalid UTF-8 in value and bytes', () => {
    const body = parseJsonBody(Buffer.concat([bytesOf('{"a":"'), Buffer.of(0xff), bytesOf('"}')]));
    expect(body.value).toEqual({ a: '\ufffd' });
    expect(Buffer.from(body.bytes).toString()).toBe('{"a":"\ufffd"}');
  });

  it('escapes raw control characters inside strings', () => {
    const body = parseJsonBody(bytesOf('{"a":"one\ntwo\tthree\u0000"}'));
    expect(body.value).toEqual({ a: 'one\ntwo\tthree\u0000' });
    expect(JSON.parse(Buffer.from(body.bytes).toString())).toEqual(body.value);
  });

  it.each(['{', '', '{"a":}', 'nonsense', '{"a":"unfinished'])('refuses %j', (text) => {
    expect(() => parseJsonBody(bytesOf(text))).toThrow(
      expect.objectContaining({ code: 'request.invalid' }),
    );
  });

  it('keeps the digits of u64 ids that a number would round', () => {
    expect(parseJsonText('{"nvext":{"backend_instance_id":18446744073709551615}}')).toEqual({
      nvext: { backend_instance_id: '18446744073709551615' },
    });
  });

  it('keeps the digits of seeds that a number would round', () => {
    expect(parseJsonText('{"seed": -9223372036854775807,"n":1}')).toEqual({
      seed: '-9223372036854775807',
      n: 1,
    });
    expect(parseJsonText('{"seed":9007199254740991}')).toEqual({ seed: 9007199254740991 });
  });

  it('leaves any valid JSON alone when escaping', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(JSON.parse(escapeControlCharacters(json))).toEqual(JSON.parse(json));
      }),
    );
  });
});
