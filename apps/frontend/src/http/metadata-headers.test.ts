import { describe, expect, it } from 'vitest';

import { metadataHeaders } from './metadata-headers.ts';

/** As Node gives them: lists of values by name. */
function received(entries: readonly (readonly [string, string])[]): {
  headers: Record<string, string>;
  headersDistinct: Record<string, string[]>;
} {
  const headers = Object.fromEntries(entries);
  const headersDistinct: Record<string, string[]> = {};
  for (const [name, value] of entries) (headersDistinct[name] ??= []).push(value);
  return { headers, headersDistinct };
}

describe('metadataHeaders', () => {
  it('takes headers with the prefix, of repeated ones the first', () => {
    const request = received([
      ['x-dynamo-meta-team', 'a'],
      ['x-dynamo-meta-team', 'b'],
      ['x-dynamo-metal', 'no'],
      ['x-dynamo-meta-empty', ''],
    ]);
    expect(metadataHeaders(request, 'x-dynamo-meta-')).toEqual({
      'x-dynamo-meta-team': 'a',
      'x-dynamo-meta-empty': '',
    });
    expect(metadataHeaders(request, 'x-none-')).toEqual({});
  });

  it.each([
    ['65 entries', Array.from({ length: 65 }, (_, index) => [`m-${index}`, '1'] as const)],
    ['64 KiB and a byte', [['m-a', 'x'.repeat(64 * 1024 - 2)] as const]],
  ])('refuses %s', (_case, entries) => {
    expect(() => metadataHeaders(received(entries), 'm-')).toThrow(
      expect.objectContaining({ code: 'request.headers_too_large' }),
    );
  });

  it.each([
    ['64 entries', Array.from({ length: 64 }, (_, index) => [`m-${index}`, '1'] as const)],
    ['64 KiB', [['m-a', 'x'.repeat(64 * 1024 - 3)] as const]],
  ])('takes %s', (_case, entries) => {
    expect(Object.keys(metadataHeaders(received(entries), 'm-'))).toHaveLength(entries.length);
  });
});
