import { GenerateRequest } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { withDpRank } from './dp-rank.ts';

const full = GenerateRequest.fromPartial({
  model: 'm',
  tokenIdsLe: Buffer.alloc(4000, 7),
  stopConditions: { maxTokens: 5 },
  samplingOptions: { temperature: 0.5, seed: 0xffff_ffff_ffff_ffffn },
  routing: { dpRank: 3, priority: -4, loraName: 'adapter', backendInstanceId: 9n },
  probe: true,
  requestTimestampMs: 1.5,
});

const encoded = GenerateRequest.encode(full).finish();

describe('withDpRank', () => {
  it.each([0, 1, 127, 128, 4_000_000_000])('sets rank %i and leaves the rest alone', (dpRank) => {
    const { routing, ...rest } = GenerateRequest.decode(withDpRank(encoded, dpRank));
    expect(routing).toEqual({ ...full.routing, dpRank });
    expect(GenerateRequest.toJSON({ ...rest, routing: undefined })).toEqual(
      GenerateRequest.toJSON({ ...full, routing: undefined }),
    );
  });

  it('gives a request without hints the rank alone', () => {
    const plain = GenerateRequest.encode(GenerateRequest.fromPartial({ model: 'm' })).finish();
    const { routing } = GenerateRequest.decode(withDpRank(plain, 5));
    expect(routing).toMatchObject({ dpRank: 5, cacheSalt: '', priority: undefined });
  });

  it('replaces the rank that an earlier attempt had', () => {
    const twice = withDpRank(withDpRank(encoded, 1), 2);
    expect(GenerateRequest.decode(twice).routing).toEqual({ ...full.routing, dpRank: 2 });
  });

  it('does not mind bytes that are no message', () => {
    for (let length = 0; length < 64; length++) {
      const cut = encoded.subarray(0, length);
      expect([...withDpRank(cut, 1).subarray(0, length)]).toEqual([...cut]);
    }
    expect(withDpRank(Buffer.from('ffffffff', 'hex'), 1).length).toBeGreaterThan(4);
  });
});
