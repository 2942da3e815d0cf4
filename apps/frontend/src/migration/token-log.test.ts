import { tokenIdsFromBytes, tokenIdsToBytes } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { TokenLog } from './token-log.ts';

describe('TokenLog', () => {
  it('gives back prompt and received ids, however they were cut into messages', () => {
    const ids = Uint32Array.from({ length: 1000 }, (_, index) => (index * 2_654_435_761) >>> 0);
    const prompt = Uint32Array.of(7, 0xffff_ffff);
    for (const size of [1, 2, 3, 63, 64, 65, 999, 1000]) {
      const log = new TokenLog();
      for (let at = 0; at < ids.length; at += size) {
        log.append(tokenIdsToBytes(ids.subarray(at, at + size)));
      }
      expect(log.count).toBe(ids.length);
      const joined = tokenIdsFromBytes(log.after(tokenIdsToBytes(prompt)));
      expect([...joined]).toEqual([...prompt, ...ids]);
    }
  });

  it('keeps no reference to what it was given', () => {
    const log = new TokenLog();
    const network = Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0);
    log.append(network);
    network.fill(9);
    expect([...log.after(new Uint8Array(0))]).toEqual([1, 0, 0, 0, 2, 0, 0, 0]);
  });
});
