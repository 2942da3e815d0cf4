import { GenerateResponse } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { AnswerMeter, leadingTokens } from './answer-meter.ts';

const tokens = (count: number): Uint8Array =>
  GenerateResponse.encode(
    GenerateResponse.fromPartial({ tokenIdsLe: Buffer.alloc(count * 4), index: 1 }),
  ).finish();

function meter(promptTokens: number): { meter: AnswerMeter; blocks: () => number } {
  let blocks = 0;
  const onBlock = (): void => void (blocks += 1);
  return {
    meter: new AnswerMeter({ promptTokens, blockSize: 16, routedAtMs: 100, onBlock }),
    blocks: () => blocks,
  };
}

describe('leadingTokens', () => {
  it.each([0, 1, 31, 32, 4095, 4096, 100_000])('finds %i token ids', (count) => {
    expect(leadingTokens(tokens(count))).toBe(count);
  });

  it.each(['', '0a', '0aff', '1204', '0affffffffffffffffff'])('makes nothing of %s', (hex) => {
    expect(leadingTokens(Buffer.from(hex, 'hex')) >= 0).toBe(true);
  });
});

describe('AnswerMeter', () => {
  it('tells each block that output fills', () => {
    const { meter: answer, blocks } = meter(30);
    answer.note([tokens(1)], 110);
    expect(blocks()).toBe(0);
    answer.note([tokens(1)], 120);
    expect(blocks()).toBe(1);
    answer.note([tokens(20), tokens(12)], 130);
    expect(blocks()).toBe(3);
  });

  it('measures first token and mean distance', () => {
    const { meter: answer } = meter(0);
    answer.note([tokens(1)], 150);
    answer.note([tokens(2), tokens(2)], 190);
    expect(answer.outcome({ kind: 'completed' })).toEqual({
      kind: 'completed',
      cachedTokens: undefined,
      outputTokens: 5,
      ttftMs: 50,
      itlMs: 10,
    });
  });

  it('knows no times of an answer that did not begin', () => {
    const { meter: answer } = meter(0);
    expect(answer.outcome({ kind: 'failed', errorCode: 'backend.error' })).toEqual({
      kind: 'failed',
      errorCode: 'backend.error',
      cachedTokens: undefined,
      outputTokens: undefined,
      ttftMs: undefined,
      itlMs: undefined,
    });
  });

  it('takes the reader at its word', () => {
    const { meter: answer } = meter(0);
    answer.note([tokens(9)], 150);
    answer.report({ cachedTokens: 32 });
    answer.report({ outputTokens: 7 });
    expect(answer.outcome({ kind: 'cancelled' })).toMatchObject({
      kind: 'cancelled',
      cachedTokens: 32,
      outputTokens: 7,
    });
    answer.report({ complete: true });
    expect(answer.outcome({ kind: 'cancelled' }).kind).toBe('completed');
    const failed = { kind: 'failed', errorCode: 'backend.error' } as const;
    expect(answer.outcome(failed).kind).toBe('failed');
  });
});
