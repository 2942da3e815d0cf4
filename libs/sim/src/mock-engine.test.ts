import { FinishReason } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { decodeKvEvents } from './kv-events.ts';
import type { KvEvent } from './kv-events.ts';
import type { MockEngineOptions } from './mock-engine-options.ts';
import type { MockEngineHost } from './mock-engine.ts';
import { MockEngine } from './mock-engine.ts';
import type { MockHandle, MockOutput, MockReceiver, MockRequest } from './mock-request.ts';

const VOCABULARY = Uint32Array.from({ length: 95 }, (_, index) => index + 32);

/** What the host of an engine was told. */
class RecordingHost implements MockEngineHost {
  readonly events: KvEvent[] = [];
  readonly failures: Error[] = [];
  loadChanges = 0;

  kvEvents(records: Uint8Array): void {
    this.events.push(...decodeKvEvents(records));
  }

  loadChanged(): void {
    this.loadChanges += 1;
  }

  failed(error: Error): void {
    this.failures.push(error);
  }
}

/** Everything one request was given. */
class Answer implements MockReceiver {
  readonly tokens: number[] = [];
  readonly finished: Promise<Answer>;
  outputs = 0;
  finish: FinishReason = FinishReason.FINISH_REASON_UNSPECIFIED;
  rejection: string | undefined;
  cachedTokens = 0;
  dpRank = -1;
  readonly #resolve: (answer: Answer) => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.finished = promise;
    this.#resolve = resolve;
  }

  onOutput(output: MockOutput): void {
    this.outputs += 1;
    this.tokens.push(...output.tokenIds.subarray(output.start, output.end));
    this.cachedTokens = output.cachedTokens;
    this.dpRank = output.dpRank;
    expect(this.finish, 'nothing follows the end').toBe(FinishReason.FINISH_REASON_UNSPECIFIED);
    if (output.finish === FinishReason.FINISH_REASON_UNSPECIFIED) return;
    this.finish = output.finish;
    this.rejection = output.rejection;
    this.#resolve(this);
  }
}

function start(options: Partial<MockEngineOptions> = {}, host = new RecordingHost()): MockEngine {
  return MockEngine.start({ vocabulary: VOCABULARY, speedupRatio: 0, ...options }, host);
}

function promptOf(text: string): Uint32Array {
  return Uint32Array.from(text, (letter) => letter.codePointAt(0) ?? 0);
}

function submit(engine: MockEngine, request: MockRequest): { answer: Answer; handle: MockHandle } {
  const answer = new Answer();
  return { answer, handle: engine.submit(request, answer) };
}

function ask(engine: MockEngine, request: MockRequest): Promise<Answer> {
  return submit(engine, request).answer.finished;
}

describe('MockEngine', () => {
  it('answers with as many tokens of its vocabulary as asked for', async () => {
    await using engine = start();
    const answer = await ask(engine, { tokenIds: promptOf('Hello'), maxTokens: 100 });
    expect(answer.tokens).toHaveLength(100);
    expect(answer.tokens.every((id) => VOCABULARY.includes(id))).toBe(true);
    expect(answer.finish).toBe(FinishReason.FINISH_REASON_LENGTH);
  });

  it('continues on another engine exactly where a request was cut, to the same end', async () => {
    await using first = start({ seed: 5n });
    await using second = start({ seed: 5n });
    const prompt = promptOf('Once upon a time');
    const whole = await ask(first, { tokenIds: prompt, seed: 9n });
    expect(whole.finish).toBe(FinishReason.FINISH_REASON_EOS);
    expect(whole.tokens.length).toBeLessThanOrEqual(256);
    for (const cut of new Set([0, 1, whole.tokens.length >> 1, whole.tokens.length - 1])) {
      const tokenIds = Uint32Array.from([...prompt, ...whole.tokens.slice(0, cut)]);
      const rest = await ask(second, { tokenIds, seed: 9n });
      expect(rest.tokens).toEqual(whole.tokens.slice(cut));
      expect(rest.finish).toBe(whole.finish);
    }
  });

  it('runs thousands of requests at a time, each with at most one output per tick', async () => {
    await using engine = start({ speedupRatio: 200, dpSize: 4 });
    const answers = await Promise.all(
      Array.from({ length: 3000 }, (_, index) =>
        ask(engine, { tokenIds: promptOf(`request ${index}`), maxTokens: 20 }),
      ),
    );
    expect(answers.every((answer) => answer.tokens.length === 20)).toBe(true);
    expect(new Set(answers.map((answer) => answer.dpRank))).toEqual(new Set([0, 1, 2, 3]));
    expect(engine.requests).toBe(0);
    const generated = engine.totals().reduce((sum, rank) => sum + rank.generatedTokens, 0);
    expect(generated).toBe(60_000);
  });

  it('counts a repeated prefix as cached and reports what it stores', async () => {
    const host = new RecordingHost();
    await using engine = start({ blockSize: 4 }, host);
    const tokenIds = promptOf('a prompt of 21 tokens');
    const cold = await ask(engine, { tokenIds, maxTokens: 1 });
    const warm = await ask(engine, { tokenIds, maxTokens: 1 });
    expect([cold.cachedTokens, warm.cachedTokens]).toEqual([0, 20]);
    const [stored] = host.events;
    expect(stored).toMatchObject({ kind: 'stored', dpRank: 0, parentHash: undefined });
    if (stored?.kind !== 'stored') throw new Error('nothing stored');
    expect(stored.sequenceHashes).toHaveLength(5);
    expect(stored.sequenceHashes[0]).toBe(stored.localHashes[0]);
    expect(host.events).toHaveLength(1);
  });

  it('ends a cancelled request once and uses its id again', async () => {
    await using engine = start({ speedupRatio: 1 });
    const { answer, handle } = submit(engine, { tokenIds: promptOf('x'), maxTokens: 1_000_000 });
    handle.cancel();
    handle.cancel();
    await answer.finished;
    expect(answer.finish).toBe(FinishReason.FINISH_REASON_CANCELLED);
    const next = await ask(engine, { tokenIds: promptOf('y'), maxTokens: 1 });
    handle.cancel(); // the old handle cannot touch the new request
    expect(next.finish).toBe(FinishReason.FINISH_REASON_LENGTH);
    expect(engine.requests).toBe(0);
  });

  it.each([
    [{ tokenIds: new Uint32Array() }, 'empty-prompt'],
    [{ tokenIds: new Uint32Array(65) }, 'prompt-too-long'],
    [{ tokenIds: new Uint32Array(2), dpRank: 1 }, 'unknown-rank'],
  ])('refuses a request that can never run: %o is %s', async (request, rejection) => {
    await using engine = start({ numGpuBlocks: 16, blockSize: 4 });
    const answer = await ask(engine, request);
    expect(answer.finish).toBe(FinishReason.FINISH_REASON_ERROR);
    expect(answer.rejection).toBe(rejection);
  });

  it('tells when its load changes and is idle at the end', async () => {
    const host = new RecordingHost();
    await using engine = start({ numGpuBlocks: 100 }, host);
    expect(engine.loads).toMatchObject([{ running: 0, totalBlocks: 100 }]);
    await ask(engine, { tokenIds: new Uint32Array(200).fill(7), maxTokens: 1 });
    await expect.poll(() => engine.loads[0]?.inactiveBlocks).toBe(3);
    expect(engine.loads[0]).toMatchObject({ running: 0, waiting: 0, activeBlocks: 0 });
    expect(host.loadChanges).toBeGreaterThan(0);
  });

  it('is ready when its start-up time is over', async () => {
    await using engine = start({ startupTimeMs: 60 });
    const before = performance.now();
    await engine.ready();
    expect(performance.now() - before).toBeGreaterThan(50);
    await expect(engine.ready({ signal: AbortSignal.abort() })).rejects.toThrow();
  });

  it('ends all requests when it is closed and takes no more', async () => {
    const engine = start({ speedupRatio: 1 });
    const { answer } = submit(engine, { tokenIds: promptOf('x') });
    await engine.close();
    await engine.close();
    expect((await answer.finished).finish).toBe(FinishReason.FINISH_REASON_CANCELLED);
    expect(() => submit(engine, { tokenIds: promptOf('x') })).toThrow(/closed/);
    expect(() => engine.totals()).toThrow(/closed/);
  });

  it.each([
    [{ blockSize: 0 }, 'blockSize'],
    [{ maxNumSeqs: 1.5 }, 'maxNumSeqs'],
    [{ watermark: 2 }, 'watermark'],
    [{ speedupRatio: -1 }, 'speedup_ratio'],
    [{ startupTimeMs: -1 }, 'startup_time'],
    [{ vocabulary: new Uint32Array() }, 'vocabulary'],
  ])('names the setting it cannot run with: %o', (options, name) => {
    expect(() => start(options)).toThrow(expect.objectContaining({ code: 'config.invalid' }));
    expect(() => start(options)).toThrow(name);
  });
});
