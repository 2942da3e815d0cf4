import { DynamoError, asInstanceId } from '@dynamo-ts/base';
import type { ErrorCode, InstanceId } from '@dynamo-ts/base';
import { Context } from '@dynamo-ts/runtime';
import type { DispatchRequest, DispatchedStream } from '@dynamo-ts/routing';
import { FakeClock } from '@dynamo-ts/testing';
import { describe, expect, it } from 'vitest';

import { dispatchAgain } from './dispatch-again.ts';

const ONLY = asInstanceId(1n);
const STREAM = {} as DispatchedStream;

/** A fleet of which one worker is left; it answers, or fails with these codes in turn. */
function fleet(codes: readonly ErrorCode[], isThere = true) {
  const clock = new FakeClock();
  const context = new Context();
  const left = [...codes];
  const asked: (readonly InstanceId[])[] = [];
  const again = (broke: readonly InstanceId[], isTried = false) =>
    dispatchAgain({
      dispatcher: {
        dispatch: async (request: DispatchRequest) => {
          const excluded = [...(request.excluded ?? [])];
          asked.push(excluded);
          const isLeftOut = !isThere || excluded.includes(ONLY);
          const code = isLeftOut ? 'backend.unavailable' : left.shift();
          if (code !== undefined) throw new DynamoError(code, 'failed');
          return Promise.resolve(STREAM);
        },
      },
      request: {
        payload: new Uint8Array(),
        context,
        blockHashes: new BigUint64Array(),
        blockSize: 4,
        promptTokens: 1,
      },
      excluded: () => [],
      broke: new Set(broke),
      cause: new DynamoError('transport.disconnected', 'the worker broke'),
      waitMs: 1000,
      isTried,
      clock,
    });
  return { again, asked, clock, context };
}

describe('dispatchAgain', () => {
  it('asks the worker that broke the request again when there is no other', async () => {
    const { again, asked, clock } = fleet([]);
    const answer = again([ONLY]);
    await clock.advance(100);
    expect(await answer).toBe(STREAM);
    expect(asked).toEqual([[ONLY], []]);
  });

  it('waits before it asks those again that were asked just now', async () => {
    const { again, asked, clock } = fleet(['transport.cannot_connect']);
    const answer = again([], true);
    expect(asked).toEqual([]);
    await clock.advance(100);
    expect(await answer).toBe(STREAM);
    expect(asked).toHaveLength(2);
  });

  it('gives a request up that breaks whoever takes it', async () => {
    const broken = 'transport.disconnected' as const;
    const { again, asked, clock } = fleet([broken, broken, broken, broken]);
    const answer = expect(again([ONLY])).rejects.toMatchObject({ code: broken, message: 'failed' });
    await clock.advance(1000);
    await answer;
    expect(asked).toHaveLength(4);
  });

  it('goes on asking while nobody can be reached', async () => {
    const refused = Array.from({ length: 4 }, () => 'transport.cannot_connect' as const);
    const { again, asked, clock } = fleet(refused);
    const answer = again([], true);
    for (let step = 0; step < 10; step += 1) await clock.advance(100);
    expect(await answer).toBe(STREAM);
    expect(asked).toHaveLength(5);
  });

  it('waits for no longer than it may, and then says what broke the request', async () => {
    const { again, clock } = fleet([], false);
    const answer = expect(again([])).rejects.toMatchObject({ message: 'the worker broke' });
    await clock.advance(1000);
    await answer;
    expect(clock.sleeping).toBe(0);
  });

  it('says what broke the request when nobody could be reached any more', async () => {
    const { again, clock } = fleet(Array.from({ length: 40 }, () => 'transport.cannot_connect'));
    const answer = expect(again([])).rejects.toMatchObject({ message: 'the worker broke' });
    for (let step = 0; step < 10; step += 1) await clock.advance(100);
    await answer;
  });

  it('gives a request up that gets stuck wherever it goes', async () => {
    const stuck = 'backend.request_stuck' as const;
    const { again, asked, clock } = fleet([stuck, stuck, stuck, stuck]);
    const answer = expect(again([])).rejects.toMatchObject({ code: stuck });
    await clock.advance(1000);
    await answer;
    expect(asked).toHaveLength(3);
  });

  it("does not repeat what is the client's fault", async () => {
    const { again, asked } = fleet(['request.invalid']);
    await expect(again([])).rejects.toMatchObject({ code: 'request.invalid' });
    expect(asked).toHaveLength(1);
  });
});
