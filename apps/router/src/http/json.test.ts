import { describe, expect, it } from 'vitest';

import { parseJson, writeJson } from './json.ts';

describe('JSON with 64-bit integers', () => {
  it('keeps every bit of ids and hashes', () => {
    const text =
      '{"id":18446744073709551615,"hashes":[-9223372036854775808,7,1.5e300],"s":"12345678901234567890"}';
    const value = parseJson(text);
    expect(value).toEqual({
      id: 18_446_744_073_709_551_615n,
      hashes: [-9_223_372_036_854_775_808n, 7, 1.5e300],
      s: '12345678901234567890',
    });
    expect(writeJson({ id: 18_446_744_073_709_551_615n, small: 3n, list: [1] })).toBe(
      '{"id":18446744073709551615,"small":3,"list":[1]}',
    );
  });

  it('reads ordinary JSON as ever and refuses what is none', () => {
    expect(parseJson('{"a":[1,2.5,null]}')).toEqual({ a: [1, 2.5, null] });
    expect(() => parseJson('nonsense 1234567890123456')).toThrow(SyntaxError);
  });
});
