import { DynamoError, asInstanceId } from '@dynamo-ts/base';
import type { ErrorCode, InstanceId } from '@dynamo-ts/base';
import {
  GenerateRequest,
  GenerateResponse,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import type { AnswerReport, DispatchRequest, DispatchedStream } from '@dynamo-ts/routing';
import { Context } from '@dynamo-ts/runtime';
import { MetricsRegistry, Tracer, nullLogger } from '@dynamo-ts/telemetry';
import { FakeClock } from '@dynamo-ts/testing';
import { describe, expect, it } from 'vitest';

import { MigratingStream } from './migrating-stream.ts';
import type { MigratingStreamOptions } from './migrating-stream.ts';
import { MigrationMetrics } from './migration-metrics.ts';
import { MigrationReport } from './migration-report.ts';

const PROMPT = Uint32Array.of(1, 2, 3);

/** Messages of a worker, then how it ends: an error code, or cleanly. */
interface Answer {
  readonly messages: readonly Partial<GenerateResponse>[];
  readonly end: ErrorCode | 'end';
}

const ids = (...values: readonly number[]): Partial<GenerateResponse> => ({
  tokenIdsLe: Buffer.from(tokenIdsToBytes(Uint32Array.from(values))),
});

/** Workers 1, 2, 3, … give the answers in turn; a code instead of an answer is a dispatch that fails. */
class Workers {
  readonly requests: (DispatchRequest & { readonly message: GenerateRequest })[] = [];
  /** What was reported to the streams. */
  readonly reports: AnswerReport[] = [];
  readonly #answers: (Answer | ErrorCode)[];

  constructor(answers: readonly (Answer | ErrorCode)[]) {
    this.#answers = [...answers];
  }

  async dispatch(request: DispatchRequest): Promise<DispatchedStream> {
    const instanceId = asInstanceId(BigInt(this.requests.length + 1));
    this.requests.push({ ...request, message: GenerateRequest.decode(request.payload) });
    const answer = this.#answers.shift() ?? 'backend.unavailable';
    if (typeof answer === 'string') throw new DynamoError(answer, 'dispatch failed');
    return Promise.resolve(streamOf(instanceId, answer, this.reports));
  }

  excluded(dispatch: number): InstanceId[] {
    return [...(this.requests[dispatch]?.excluded ?? [])];
  }
}

function streamOf(
  instanceId: InstanceId,
  { messages, end }: Answer,
  reports: AnswerReport[],
): DispatchedStream {
  const left = messages.map((message) =>
    GenerateResponse.encode(GenerateResponse.fromPartial(message)).finish(),
  );
  return {
    instanceId,
    placement: { instanceId, overlapBlocks: 0, cachedTokens: 0, queuedMs: 0, reason: 'test' },
    report: (report) => void reports.push(report),
    cancel: () => undefined,
    nextBatch: async () => {
      const item = left.shift();
      if (item !== undefined) return Promise.resolve([item]);
      if (end === 'end') return undefined;
      throw new DynamoError(end, 'the worker broke');
    },
  };
}

interface Bench {
  readonly workers: Workers;
  readonly metrics: MetricsRegistry;
  readonly context: Context;
  readonly clock: FakeClock;
  /** Set when the reader has seen the end. */
  complete: boolean;
  open(): Promise<MigratingStream>;
}

function bench(
  answers: readonly (Answer | ErrorCode)[],
  options: Partial<MigratingStreamOptions> = {},
  request: Parameters<typeof GenerateRequest.fromPartial>[0] = {},
): Bench {
  const metrics = new MetricsRegistry();
  const clock = new FakeClock();
  const workers = new Workers(answers);
  const context = new Context();
  const payload = GenerateRequest.encode(
    GenerateRequest.fromPartial({ ...request, tokenIdsLe: Buffer.from(tokenIdsToBytes(PROMPT)) }),
  ).finish();
  const test: Bench = {
    workers,
    metrics,
    context,
    clock,
    complete: false,
    open: () =>
      MigratingStream.open({
        limit: 3,
        maxSequenceTokens: undefined,
        waitMs: 1000,
        dispatcher: workers,
        request: {
          payload,
          context,
          blockHashes: new BigUint64Array(0),
          blockSize: 4,
          promptTokens: PROMPT.length,
        },
        blockHashesOf: (tokenIds) => BigUint64Array.from(tokenIds, BigInt),
        excluded: () => [asInstanceId(99n)],
        isComplete: () => test.complete,
        report: new MigrationReport({
          metrics: new MigrationMetrics(metrics),
          logger: nullLogger,
          span: new Tracer().startSpan('test'),
          requestId: context.id,
          model: 'm',
        }),
        clock,
        ...options,
      }),
  };
  return test;
}

/** Reads to the end. @returns the ids */
async function idsOf(stream: MigratingStream): Promise<number[]> {
  const read: number[] = [];
  for (let batch = await stream.nextBatch(); batch; batch = await stream.nextBatch()) {
    for (const { tokenIdsLe } of batch) read.push(...tokenIdsFromBytes(tokenIdsLe));
  }
  return read;
}

describe('MigratingStream', () => {
  it('continues from the prompt and what was received, on workers that did not fail', async () => {
    const test = bench(
      [
        { messages: [ids(4), ids(5, 6)], end: 'transport.disconnected' },
        { messages: [ids(7)], end: 'backend.engine_shutdown' },
        { messages: [ids(8)], end: 'backend.response_timeout' },
        { messages: [ids(9)], end: 'end' },
      ],
      {},
      { stopConditions: { maxTokens: 9, minTokens: 2, stop: ['x'] }, mdcSum: 'sum' },
    );
    const stream = await test.open();
    const { requests } = test.workers;
    await expect(idsOf(stream)).rejects.toMatchObject({ code: 'backend.stream_incomplete' });
    expect(requests.map(({ message }) => [...tokenIdsFromBytes(message.tokenIdsLe)])).toEqual([
      [1, 2, 3],
      [1, 2, 3, 4, 5, 6],
      [1, 2, 3, 4, 5, 6, 7],
      [1, 2, 3, 4, 5, 6, 7, 8],
    ]);
    expect(requests.map(({ message }) => message.stopConditions?.maxTokens)).toEqual([9, 6, 5, 4]);
    expect(requests.map(({ message }) => message.stopConditions?.minTokens)).toEqual([2, 0, 0, 0]);
    expect(requests.map(({ promptTokens }) => promptTokens)).toEqual([3, 6, 7, 8]);
    expect(test.workers.excluded(3)).toEqual([99n, 1n, 2n, 3n]);
    // The first attempt waits its turn in the router's queue, the others go first.
    const priorities = requests.map(({ wishes }) => wishes?.strictPriority);
    expect(priorities).toEqual([undefined, ...Array<number>(3).fill(0xffff_ffff)]);
    expect(new Set(requests.map(({ context }) => context.id))).toEqual(new Set([test.context.id]));
    expect(requests.at(-1)?.message).toMatchObject({
      mdcSum: 'sum',
      stopConditions: { stop: ['x'] },
    });
    const text = await test.metrics.text();
    expect(text).toContain('migration_total{model="m",migration_type="ongoing_request"} 3');
    expect(text).toContain('migration_refused_total{model="m",reason="limit"} 1');
  });

  it('leaves limits unset that the client did not set', async () => {
    const test = bench([
      { messages: [ids(4)], end: 'transport.timeout' },
      { messages: [ids(5)], end: 'backend.error' },
    ]);
    const stream = await test.open();
    await expect(idsOf(stream)).rejects.toMatchObject({ code: 'backend.error' });
    expect(test.workers.requests[1]?.message.stopConditions).toBeUndefined();
  });

  it('ends when the reader has seen the end, whatever the worker does after it', async () => {
    const test = bench([{ messages: [ids(4)], end: 'transport.disconnected' }]);
    const stream = await test.open();
    expect(await stream.nextBatch()).toHaveLength(1);
    test.complete = true;
    expect(await stream.nextBatch()).toBeUndefined();
    expect(test.workers.requests).toHaveLength(1);
  });

  it('corrects the usage of a worker that was given the answer as prompt', async () => {
    const test = bench([
      { messages: [ids(4, 5)], end: 'transport.disconnected' },
      {
        messages: [{ ...ids(6), usage: { promptTokens: 5, completionTokens: 1, cachedTokens: 4 } }],
        end: 'end',
      },
    ]);
    const stream = await test.open();
    await stream.nextBatch();
    const last = await stream.nextBatch();
    expect(last?.[0]?.usage).toEqual({ promptTokens: 3, completionTokens: 3, cachedTokens: 3 });
    expect(stream.instanceId).toBe(2n);
    expect(test.workers.reports).toEqual([{ cachedTokens: 4 }]);
  });

  it('places the longer prompt by its own blocks once there are more of them', async () => {
    const test = bench([
      { messages: [], end: 'transport.disconnected' },
      { messages: [ids(4, 5)], end: 'transport.disconnected' },
      { messages: [ids(6)], end: 'end' },
    ]);
    const stream = await test.open();
    await stream.nextBatch();
    await stream.nextBatch();
    expect(test.workers.requests.map(({ blockHashes }) => [...blockHashes])).toEqual([
      [],
      [],
      [1n, 2n, 3n, 4n, 5n],
    ]);
  });

  it('says that the answer was complete when the reader cuts it there', async () => {
    const test = bench([{ messages: [ids(4)], end: 'end' }]);
    const stream = await test.open();
    stream.cancel();
    expect(test.workers.reports).toEqual([]);
    test.complete = true;
    stream.cancel();
    expect(test.workers.reports).toEqual([{ complete: true }]);
  });

  it('waits for a worker that can take over', async () => {
    const test = bench([
      { messages: [ids(4)], end: 'transport.disconnected' },
      'backend.unavailable',
      'capacity.pool_exhausted',
      { messages: [ids(5)], end: 'end' },
    ]);
    const stream = await test.open();
    await stream.nextBatch();
    const next = stream.nextBatch();
    await test.clock.advance(500);
    expect(tokenIdsFromBytes((await next)?.[0]?.tokenIdsLe ?? new Uint8Array())).toEqual(
      Uint32Array.of(5),
    );
  });

  it('gives up with what broke the answer when no worker comes in time', async () => {
    const test = bench([{ messages: [ids(4)], end: 'transport.disconnected' }]);
    const stream = await test.open();
    await stream.nextBatch();
    const next = expect(stream.nextBatch()).rejects.toMatchObject({
      code: 'transport.disconnected',
    });
    await test.clock.advance(1000);
    await next;
    expect(await test.metrics.text()).toContain('outcome="failure"} 1');
  });

  it('asks again for a request that workers broke before its first token, and counts that apart', async () => {
    const test = bench(['transport.cannot_connect', { messages: [ids(4)], end: 'end' }]);
    const opened = test.open();
    await test.clock.advance(100);
    expect((await opened).instanceId).toBe(2n);
    expect(test.workers.excluded(1)).toEqual([99n]);
    expect(await test.metrics.text()).not.toContain('migration_type="ongoing_request"');
  });

  it('says at once that nobody is there, or that all are busy', async () => {
    for (const code of ['backend.unavailable', 'capacity.pool_exhausted'] as const) {
      const test = bench([code, { messages: [ids(4)], end: 'end' }]);
      await expect(test.open()).rejects.toMatchObject({ code });
      expect(test.workers.requests).toHaveLength(1);
    }
  });

  it('counts moves, and not the workers that it moved between', async () => {
    const broken = { messages: [ids(4)], end: 'transport.disconnected' } as const;
    const test = bench([broken, broken, broken], { limit: 1 });
    await expect(idsOf(await test.open())).rejects.toMatchObject({
      code: 'transport.disconnected',
    });
    expect(test.workers.requests).toHaveLength(2);
    expect(await test.metrics.text()).toContain(
      'migration_refused_total{model="m",reason="limit"} 1',
    );
  });

  it('ends the wait when the client leaves', async () => {
    const test = bench([{ messages: [ids(4)], end: 'transport.disconnected' }]);
    const stream = await test.open();
    await stream.nextBatch();
    const next = expect(stream.nextBatch()).rejects.toMatchObject({ code: 'request.cancelled' });
    await test.clock.advance(100);
    test.context.kill();
    await next;
    expect(test.clock.sleeping).toBe(0);
    expect(await test.metrics.text()).toContain('outcome="cancelled"} 1');
  });

  it.each([
    ['disabled', { limit: 0 }, {}, {}],
    ['max_seq_len', { maxSequenceTokens: 3 }, {}, {}],
    ['guided_decoding', {}, { samplingOptions: { guidedDecoding: { regex: 'a' } } }, {}],
    ['text_input', {}, { textInput: { kind: 1 } }, {}],
    ['no_token_ids', {}, {}, { text: 'a' }],
  ] as const)('does not move: %s', async (reason, options, request, message) => {
    const answer: Answer = { messages: [{ ...ids(4), ...message }], end: 'transport.disconnected' };
    const test = bench([answer, answer], options, request);
    await expect(idsOf(await test.open())).rejects.toMatchObject({
      code: 'transport.disconnected',
    });
    expect(test.workers.requests).toHaveLength(1);
    const text = await test.metrics.text();
    expect(text).toContain(`migration_refused_total{model="m",reason="${reason}"} 1`);
    if (reason === 'max_seq_len') expect(text).toContain('max_seq_len_exceeded_total{model="m"} 1');
  });

  it('moves a sequence of exactly the longest length', async () => {
    const answer: Answer = { messages: [ids(4)], end: 'transport.disconnected' };
    const test = bench([answer, answer], { maxSequenceTokens: 4 });
    await expect(idsOf(await test.open())).rejects.toMatchObject({
      code: 'transport.disconnected',
    });
    expect(test.workers.requests).toHaveLength(2);
  });

  it('does not move what its client has stopped', async () => {
    const test = bench([{ messages: [ids(4)], end: 'transport.disconnected' }]);
    const stream = await test.open();
    await stream.nextBatch();
    test.context.stopGenerating();
    await expect(stream.nextBatch()).rejects.toMatchObject({ code: 'transport.disconnected' });
    expect(test.workers.requests).toHaveLength(1);
  });
});
