import {
  FinishReason,
  GenerateRequest,
  GenerateResponse,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { ResponseSink } from '@dynamo-ts/runtime';
import { decodeKvEvents } from '@dynamo-ts/sim';
import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it, vi } from 'vitest';

import type { EngineHost, EngineVocabulary } from '../engine.ts';
import { TOKEN_PRINTABLE, TOKEN_SPECIAL } from '../engine.ts';
import { encodeTokenRange } from './mocker-encoding.ts';
import { mockLogprob } from './mocker-logprobs.ts';
import type { MockerConfig } from './mocker.ts';
import { MockerEngine } from './mocker.ts';

const CONFIG: MockerConfig = {
  blockSize: 16,
  dataParallelSize: 1,
  decodeSpeedupRatio: 1,
  enableChunkedPrefill: true,
  enablePrefixCaching: true,
  maxNumBatchedTokens: 8192,
  maxNumSeqs: 256,
  numGpuBlocks: 1024,
  preemptionMode: 'lifo',
  speedupRatio: 0,
  startupTimeMs: 0,
  watermark: 0.01,
};

/** Ids 0 to 31 are no text, 127 is a control token, 126 ends a sequence. */
const VOCABULARY: EngineVocabulary = {
  flags: Uint8Array.from({ length: 128 }, (_, id) => {
    if (id < 32) return 0;
    return id === 127 ? TOKEN_PRINTABLE | TOKEN_SPECIAL : TOKEN_PRINTABLE;
  }),
  eosTokenIds: Uint32Array.of(126),
  tokenBytes: (id) => Uint8Array.of(id),
};

/** A sink that keeps what it is given, and has credit for `credit` messages at a time. */
class RecordingSink implements ResponseSink {
  readonly messages: GenerateResponse[] = [];
  readonly done: Promise<unknown>;
  error: unknown;
  ends = 0;
  #credit: number;
  #drained: (() => void) | undefined;
  readonly #resolve: () => void;

  constructor(credit = Infinity) {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.done = promise;
    this.#resolve = () => resolve(undefined);
    this.#credit = credit;
  }

  get tokens(): number[] {
    return this.messages.flatMap(({ tokenIdsLe }) => [...tokenIdsFromBytes(tokenIdsLe)]);
  }

  get first(): GenerateResponse | undefined {
    return this.messages.at(0);
  }

  get last(): GenerateResponse | undefined {
    return this.messages.at(-1);
  }

  grant(credit: number): void {
    this.#credit += credit;
    this.#drained?.();
  }

  write(item: Uint8Array): boolean {
    this.messages.push(GenerateResponse.decode(item));
    this.#credit -= 1;
    return this.#credit > 0;
  }

  drained(): Promise<void> {
    return new Promise((resolve) => (this.#drained = resolve));
  }

  end(): void {
    this.ends += 1;
    this.#resolve();
  }

  fail(error: unknown): void {
    this.error = error;
    this.#resolve();
  }
}

class RecordingHost implements EngineHost {
  readonly events: Uint8Array[] = [];
  loadChanges = 0;
  loadChanged(): void {
    this.loadChanges += 1;
  }
  kvEvents(payload: Uint8Array): void {
    this.events.push(payload);
  }
  crashed(error: Error): void {
    throw error;
  }
}

async function mocker(config: Partial<MockerConfig> = {}, host = new RecordingHost()) {
  const engine = new MockerEngine({
    config: { ...CONFIG, ...config },
    vocabulary: VOCABULARY,
    contextLength: 4096,
    logger: nullLogger,
  });
  const facts = await engine.start({ host });
  return { engine, facts, host, [Symbol.asyncDispose]: () => engine.close() };
}

function request(
  prompt: string,
  fields: Partial<Parameters<typeof GenerateRequest.fromPartial>[0]> = {},
) {
  const tokenIds = Uint32Array.from(prompt, (letter) => letter.codePointAt(0) ?? 0);
  return GenerateRequest.fromPartial({ tokenIdsLe: tokenIdsToBytes(tokenIds), ...fields });
}

function limited(prompt: string, maxTokens: number): GenerateRequest {
  return request(prompt, { stopConditions: { maxTokens } });
}

describe('MockerEngine', () => {
  it('says what it is, and never promises more context than its cache holds', async () => {
    await using large = await mocker();
    expect(large.facts).toMatchObject({ contextLength: 4096, blockSize: 16, totalKvBlocks: 1024 });
    await using small = await mocker({ numGpuBlocks: 10 });
    expect(small.facts.contextLength).toBe(160);
  });

  it('answers with printable text only, then usage and reason in the last message', async () => {
    await using it = await mocker();
    const sink = new RecordingSink();
    it.engine.generate(limited('the quick brown fox jumps over', 200), sink, new Context());
    await sink.done;
    expect(sink.tokens).toHaveLength(200);
    expect(sink.tokens.every((id) => id >= 32 && id < 126)).toBe(true);
    expect(sink.ends).toBe(1);
    expect(sink.last).toMatchObject({
      finishReason: FinishReason.FINISH_REASON_LENGTH,
      usage: { promptTokens: 30, completionTokens: 200, cachedTokens: 0 },
      dpRank: 0,
    });
    const again = new RecordingSink();
    it.engine.generate(limited('the quick brown fox jumps over', 200), again, new Context());
    await again.done;
    expect(again.tokens).toEqual(sink.tokens);
    expect(again.last?.usage?.cachedTokens).toBe(16);
    expect(again.first?.usage).toMatchObject({ promptTokens: 30, cachedTokens: 16 });
  });

  it('holds tokens without credit, sends them merged, and loses none', async () => {
    await using it = await mocker({ speedupRatio: 20 });
    const free = new RecordingSink();
    it.engine.generate(limited('same prompt', 60), free, new Context());
    await free.done;
    const slow = new RecordingSink(1);
    it.engine.generate(limited('same prompt', 60), slow, new Context());
    await slow.done;
    expect(slow.tokens).toEqual(free.tokens);
    // The first one, then all others at the end; one alone when the machine was too slow for a tick between.
    expect(slow.messages.length).toBeLessThanOrEqual(2);
  });

  it('goes on when there is credit again', async () => {
    await using it = await mocker({ speedupRatio: 1 });
    const sink = new RecordingSink(1);
    it.engine.generate(limited('again', 100_000), sink, new Context());
    await expect.poll(() => sink.messages.length).toBe(1);
    sink.grant(2);
    await expect.poll(() => sink.messages.length).toBe(2);
    await it.engine.close();
    expect(sink.error).toMatchObject({ code: 'backend.engine_shutdown' });
    expect(sink.ends).toBe(0);
  });

  it('gives a stopped request up at once and says so, once', async () => {
    await using it = await mocker({ speedupRatio: 1 });
    const sink = new RecordingSink();
    const released = vi.fn();
    const context = new Context();
    it.engine.generate(limited('stop me', 100_000), Object.assign(sink, { released }), context);
    await expect.poll(() => sink.messages.length).toBeGreaterThan(2);
    context.stopGenerating();
    expect(released).not.toHaveBeenCalled();
    await expect.poll(() => released.mock.calls.length).toBe(1);
    expect(it.engine.load()[0]?.activeRequests).toBe(0);
    expect(sink.ends).toBe(1);
    expect(sink.last?.finishReason).toBe(FinishReason.FINISH_REASON_CANCELLED);
    const { length } = sink.messages;
    await expect.poll(() => it.engine.load()[0]?.activeRequests).toBe(0);
    expect(sink.messages).toHaveLength(length);
    expect(it.engine.load()[0]?.activeDecodeBlocks).toBe(0);
  });

  it('refuses what can never run with a code that says why', async () => {
    await using it = await mocker({ numGpuBlocks: 2 });
    const answered = async (bad: GenerateRequest) => {
      const sink = new RecordingSink();
      it.engine.generate(bad, sink, new Context());
      await sink.done;
      return sink.error;
    };
    expect(await answered(request('x'.repeat(33)))).toMatchObject({
      code: 'request.context_length',
    });
    expect(await answered(request(''))).toMatchObject({ code: 'request.invalid' });
    expect(await answered(request('x', { routing: { dpRank: 7 } }))).toMatchObject({
      code: 'request.invalid',
    });
    expect(() =>
      it.engine.generate(
        request('x', { samplingOptions: { n: 2 } }),
        new RecordingSink(),
        new Context(),
      ),
    ).toThrow(/several choices/);
  });

  it('makes log probabilities when asked to, one per token, the same every time', async () => {
    await using it = await mocker();
    const sink = new RecordingSink();
    const stopConditions = { maxTokens: 10 };
    it.engine.generate(
      request('log', { stopConditions, outputOptions: { logprobs: 3 } }),
      sink,
      new Context(),
    );
    await sink.done;
    const logprobs = sink.messages.flatMap((message) => message.logprobs);
    expect(logprobs.map((entry) => entry.tokenId)).toEqual(sink.tokens);
    for (const { logprob, top } of logprobs) {
      expect(top).toHaveLength(3);
      expect(top[0]?.logprob).toBe(logprob);
      expect(new Set(top.map((entry) => entry.tokenId)).size).toBe(3);
      expect(top.reduce((sum, entry) => sum + Math.exp(entry.logprob), 0)).toBeLessThan(1);
    }
  });

  it('publishes KV events and load of every rank', async () => {
    const host = new RecordingHost();
    await using it = await mocker({ dataParallelSize: 2 }, host);
    for (const dpRank of [0, 1]) {
      const sink = new RecordingSink();
      it.engine.generate(request('x'.repeat(40), { routing: { dpRank } }), sink, new Context());
      await sink.done;
      expect(sink.last?.dpRank).toBe(dpRank);
    }
    const events = host.events.flatMap((records) => decodeKvEvents(records));
    expect(new Set(events.map((event) => event.dpRank))).toEqual(new Set([0, 1]));
    expect(it.engine.load()).toHaveLength(2);
    expect(host.loadChanges).toBeGreaterThan(0);
  });

  it('starts again after it was closed', async () => {
    const it = await mocker();
    await it.engine.close();
    await it.engine.close();
    expect(() => it.engine.generate(limited('x', 1), new RecordingSink(), new Context())).toThrow(
      /stopping/,
    );
    await it.engine.start({ host: it.host });
    const sink = new RecordingSink();
    it.engine.generate(limited('x', 5), sink, new Context());
    await sink.done;
    expect(sink.tokens).toHaveLength(5);
    await it.engine.close();
  });
});

describe('encodeTokenRange', () => {
  it('makes the bytes that the generated encoder makes', () => {
    const ids = Uint32Array.from({ length: 80 }, (_, index) => (index * 0x9e37_79b9) >>> 0);
    for (let end = 0; end <= ids.length; end += 1) {
      for (const start of [0, end >> 1, end]) {
        const tokenIdsLe = tokenIdsToBytes(ids.slice(start, end));
        const expected = GenerateResponse.encode(
          GenerateResponse.fromPartial({ tokenIdsLe }),
        ).finish();
        const decoded = GenerateResponse.decode(encodeTokenRange(ids, start, end));
        expect(decoded.tokenIdsLe).toEqual(GenerateResponse.decode(expected).tokenIdsLe);
        if (end > start)
          expect(encodeTokenRange(ids, start, end)).toEqual(Uint8Array.from(expected));
      }
    }
  });
});

describe('mockLogprob', () => {
  it('lists no more alternatives than the vocabulary has', () => {
    const vocabulary = Uint32Array.of(5, 6);
    expect(mockLogprob(5, vocabulary, 9).top).toHaveLength(2);
    expect(mockLogprob(5, vocabulary, 0).top).toHaveLength(0);
  });
});
