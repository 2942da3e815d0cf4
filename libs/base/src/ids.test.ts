import { describe, expect, it } from 'vitest';

import { createInstanceId, instanceIdHex, tryInstanceId } from './ids.ts';

describe('instance ids', () => {
  it('are random u64, never 0, and print as lower-case hex', () => {
    expect(createInstanceId(() => new Uint8Array(8))).toBe(1n);
    expect(instanceIdHex(createInstanceId(() => new Uint8Array(8).fill(0xab)))).toBe(
      'abababababababab',
    );
    expect(createInstanceId()).not.toBe(createInstanceId());
  });

  it('are read from decimal only when they fit into a u64', () => {
    expect(tryInstanceId('18446744073709551615')).toBe(0xffff_ffff_ffff_ffffn);
    for (const text of ['18446744073709551616', '-1', '1.5', '', 'abc', '0x1']) {
      expect(tryInstanceId(text)).toBeUndefined();
    }
  });
});
