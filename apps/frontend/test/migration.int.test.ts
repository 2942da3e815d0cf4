/** Answers whose worker breaks in the middle, over HTTP in front of scripted workers. */
import { DynamoError } from '@dynamo-ts/base';
import type { ErrorCode } from '@dynamo-ts/base';
import { FinishReason } from '@dynamo-ts/protocol';
import type { GenerateRequest } from '@dynamo-ts/protocol';
import { HoldGate } from '@dynamo-ts/testing';
import { describe, expect, it, vi } from 'vitest';

import { eventsOf, idsOf, testFrontend, tokens } from './scripted-worker.ts';
import type { Script, TestFrontend } from './scripted-worker.ts';

const TEXT = 'Grüße 🌍, läuft STOP weiter';
const LENGTH = idsOf(TEXT).length;
/** The ways in which an answer can break; `end` is an end without a finish reason. */
const CODES: readonly (ErrorCode | 'end')[] = [
  'transport.disconnected',
  'backend.engine_shutdown',
  'backend.stream_incomplete',
  'backend.response_timeout',
  'backend.request_stuck',
  'transport.timeout',
  'end',
];

interface Attempt {
  readonly id: string;
  readonly request: GenerateRequest;
}

/** A model that says one text, and workers that break after so many bytes of it in all, one per attempt. */
class Speaker {
  readonly attempts: Attempt[] = [];
  readonly text: string;
  breaks: readonly number[] = [];
  code: ErrorCode | 'end' = 'transport.disconnected';
  /** What follows an answer that is complete. */
  after: 'end' | 'break' = 'end';
  readonly #promptTokens = new Map<string, number>();

  constructor(text = TEXT) {
    this.text = text;
  }

  readonly script: Script = (request, sink, context) => {
    const ids = idsOf(this.text);
    const size = request.tokenIdsLe.byteLength / 4;
    const prompt = this.#promptTokens.get(context.id) ?? size;
    this.#promptTokens.set(context.id, prompt);
    const attempt = this.attempts.filter(({ id }) => id === context.id).length;
    this.attempts.push({ id: context.id, request });
    const stopAt = this.breaks[attempt] ?? ids.length;
    for (let at = size - prompt; at < stopAt; at += 1) {
      const id = ids[at] ?? 0;
      const isLast = at === ids.length - 1;
      const usage = { promptTokens: size, completionTokens: at + 1 - (size - prompt) };
      sink.write(
        tokens(Uint32Array.of(id), {
          logprobs: [{ tokenId: id, logprob: -at, top: [], token: '' }],
          ...(isLast ? { finishReason: FinishReason.FINISH_REASON_EOS, usage } : {}),
        }),
      );
    }
    const isBroken = stopAt < ids.length || this.after === 'break';
    if (isBroken && this.code !== 'end') sink.fail(new DynamoError(this.code, 'broken'));
    else sink.end();
  };
}

/** A frontend whose only worker leaves when it breaks its first answer. */
async function leavingFrontend(speaker: Speaker): Promise<TestFrontend> {
  const leave = Promise.withResolvers<undefined>();
  const script: Script = (...args) => {
    void speaker.script(...args);
    leave.resolve(undefined);
  };
  const test = await testFrontend({ script });
  void leave.promise.then(() => test.workers[0]?.close());
  return test;
}

interface Chunk {
  readonly choices?: readonly {
    readonly index: number;
    readonly text: string;
    readonly finish_reason: string | null;
    readonly logprobs?: { readonly token_logprobs: readonly number[] } | null;
  }[];
  readonly usage?: unknown;
  readonly error?: { readonly message: string };
}

const ASK = { model: 'mock', prompt: 'hi', max_tokens: 100 };

/** What a client of a stream has at its end. */
async function stream(test: TestFrontend, body: object = {}, init?: RequestInit) {
  const response = await test.post(
    '/v1/completions',
    { ...ASK, stream: true, stream_options: { include_usage: true }, ...body },
    init,
  );
  const answer = await response.text();
  const events = eventsOf(answer) as Chunk[];
  const choices = events.flatMap((event) => event.choices ?? []);
  const of = (index: number) => choices.filter((choice) => choice.index === index);
  return {
    status: response.status,
    texts: [0, 1].map((index) =>
      of(index)
        .map(({ text }) => text)
        .join(''),
    ),
    finish: of(0)
      .map((choice) => choice.finish_reason)
      .at(-1),
    logprobs: of(0).flatMap(({ logprobs }) => logprobs?.token_logprobs ?? []),
    usage: events.findLast(({ usage }) => usage !== undefined && usage !== null)?.usage,
    error: events.find(({ error }) => error !== undefined)?.error,
    done: answer.endsWith('data: [DONE]\n\n'),
  };
}

describe('an answer whose worker breaks', { timeout: 30_000 }, () => {
  it('goes on without a seam, wherever it breaks and however', async () => {
    const speaker = new Speaker();
    await using test = await testFrontend({ script: speaker.script, workers: 4 });
    const undisturbed = await stream(test, { logprobs: 1 });
    expect(undisturbed).toMatchObject({
      texts: [TEXT, ''],
      finish: 'stop',
      done: true,
      usage: { prompt_tokens: 2, completion_tokens: LENGTH, total_tokens: LENGTH + 2 },
    });
    expect(undisturbed.logprobs).toHaveLength(LENGTH);
    for (let position = 0; position < LENGTH; position += 1) {
      speaker.breaks = [position];
      speaker.code = CODES[position % CODES.length] ?? 'end';
      speaker.attempts.length = 0;
      expect(await stream(test, { logprobs: 1 }), `broken at ${position}`).toEqual(undisturbed);
      const [first, second] = speaker.attempts;
      expect(second?.id).toBe(first?.id);
      expect(second?.request.stopConditions?.maxTokens).toBe(100 - position);
    }
  });

  it('survives a break at every position of several workers in one answer', async () => {
    const speaker = new Speaker();
    await using test = await testFrontend({ script: speaker.script, workers: 5 });
    for (let position = 1; position < LENGTH - 2; position += 3) {
      speaker.breaks = [position, position, position + 2];
      expect((await stream(test)).texts[0]).toBe(TEXT);
    }
  });

  it('is whole when it is not streamed', async () => {
    const speaker = new Speaker();
    await using test = await testFrontend({ script: speaker.script, workers: 3 });
    for (let position = 0; position < LENGTH; position += 1) {
      speaker.breaks = [position];
      const response = await test.post('/v1/completions', { ...ASK, logprobs: 1 });
      expect(await response.json()).toMatchObject({
        choices: [
          {
            text: TEXT,
            finish_reason: 'stop',
            logprobs: { token_logprobs: Array.from({ length: LENGTH }, (_, at) => 0 - at) },
          },
        ],
        usage: { prompt_tokens: 2, completion_tokens: LENGTH },
      });
    }
  });

  it('stops at a stop string that spans the break', async () => {
    const speaker = new Speaker();
    await using test = await testFrontend({ script: speaker.script, workers: 3 });
    const start = Buffer.from(TEXT).indexOf('STOP');
    for (let position = start - 1; position <= start + 4; position += 1) {
      speaker.breaks = [position];
      const answer = await stream(test, { stop: ['STOP'] });
      expect(answer).toMatchObject({
        texts: ['Grüße 🌍, läuft ', ''],
        finish: 'stop',
        usage: { completion_tokens: start + 4 },
      });
    }
  });

  it('keeps the limit of tokens, and leaves none where there was none', async () => {
    const speaker = new Speaker();
    await using test = await testFrontend({ script: speaker.script, workers: 3 });
    speaker.breaks = [4];
    const cut = await stream(test, { max_tokens: 5 });
    expect(cut).toMatchObject({ finish: 'length', usage: { completion_tokens: 5 } });
    expect(speaker.attempts.at(-1)?.request.stopConditions?.maxTokens).toBe(1);
    expect((await stream(test, { max_tokens: undefined })).texts[0]).toBe(TEXT);
    expect(speaker.attempts.at(-1)?.request.stopConditions?.maxTokens).toBeUndefined();
  });

  it('moves each of several choices by itself', async () => {
    const speaker = new Speaker();
    await using test = await testFrontend({ script: speaker.script, workers: 3 });
    for (const position of [1, 3, 9]) {
      speaker.breaks = [position];
      const answer = await stream(test, { n: 2, temperature: 1 });
      expect(answer.texts).toEqual([TEXT, TEXT]);
      expect(answer.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 2 * LENGTH });
    }
  });

  it('is complete when the worker breaks after its end', async () => {
    const speaker = new Speaker();
    speaker.after = 'break';
    await using test = await testFrontend({ script: speaker.script, workers: 2 });
    expect(await stream(test)).toMatchObject({ texts: [TEXT, ''], finish: 'stop', done: true });
    expect(speaker.attempts).toHaveLength(1);
  });

  it('waits for a worker that is starting', async () => {
    const speaker = new Speaker();
    speaker.breaks = [3];
    await using test = await leavingFrontend(speaker);
    const answer = stream(test);
    await vi.waitFor(() => expect(speaker.attempts).toHaveLength(1));
    await using _replacement = await test.addWorker({ script: speaker.script });
    expect((await answer).texts[0]).toBe(TEXT);
  });

  it('asks the worker that broke it again when there is no other', async () => {
    const speaker = new Speaker();
    speaker.breaks = [3, 5];
    await using test = await testFrontend({ script: speaker.script });
    expect((await stream(test)).texts[0]).toBe(TEXT);
    expect(speaker.attempts).toHaveLength(3);
  });

  it('tells metrics and log from where to where it moved', async () => {
    const speaker = new Speaker();
    speaker.breaks = [3];
    await using test = await testFrontend({ script: speaker.script, workers: 2 });
    await stream(test);
    const line = test.logs
      .map((each) => JSON.parse(each) as Record<string, unknown>)
      .find(({ message }) => message === 'request moved to another worker');
    const hex = test.workers.map(({ instanceId }) => instanceId.toString(16));
    expect([line?.['from_instance'], line?.['to_instance']].sort()).toEqual(hex.sort());
    expect(line).toMatchObject({ generated_tokens: 3, cause: 'transport.disconnected' });
    speaker.breaks = [0];
    await stream(test);
    const metrics = await test.telemetry.metrics.text();
    for (const type of ['ongoing_request', 'new_request']) {
      const labels = `model="mock",migration_type="${type}"`;
      expect(metrics).toContain(`dynamo_frontend_model_migration_total{${labels}} 1`);
      expect(metrics).toContain(
        `dynamo_frontend_model_migration_duration_seconds_count{${labels},outcome="success"} 1`,
      );
    }
  });

  it('names the worker that ended it', async () => {
    const speaker = new Speaker();
    speaker.breaks = [3];
    await using test = await testFrontend({ script: speaker.script, workers: 2 });
    const response = await test.post('/v1/completions', {
      ...ASK,
      nvext: { extra_fields: ['worker_id'] },
    });
    const { nvext } = (await response.json()) as {
      nvext: { worker_id: { decode_worker_id: string } };
    };
    const to = test.logs.find((line) => line.includes('request moved to another worker')) ?? '{}';
    const { to_instance: hex } = JSON.parse(to) as { to_instance: string };
    expect(nvext.worker_id.decode_worker_id).toBe(String(BigInt(`0x${hex}`)));
  });
});

describe('an answer that cannot move', { timeout: 30_000 }, () => {
  it('ends with an error event when the limit is used up', async () => {
    const speaker = new Speaker('abcdef');
    speaker.breaks = [1, 2, 3, 4];
    await using test = await testFrontend({ script: speaker.script, workers: 5 });
    const answer = await stream(test);
    expect(answer).toMatchObject({ status: 200, texts: ['abcd', ''], done: false });
    expect(answer.error).toBeDefined();
    expect(speaker.attempts).toHaveLength(4);
    const unary = await test.post('/v1/completions', ASK);
    expect(unary.status).toBe(503);
  });

  it.each([
    ['disabled', ['--migration-limit=0'], {}, {}],
    ['max_seq_len', ['--migration-max-seq-len=4'], {}, {}],
    ['guided_decoding', [], { guided_regex: 'a' }, {}],
    ['pinned', [], {}, { 'x-worker-instance-id': 'self' }],
  ])('says so: %s', async (reason, argv, body, headers) => {
    const speaker = new Speaker('abcdef');
    speaker.breaks = [3];
    await using test = await testFrontend({ script: speaker.script, workers: 2, argv });
    const self = test.workers[0]?.instanceId.toString() ?? '';
    const answer = await stream(test, body, {
      headers: {
        'content-type': 'application/json',
        ...Object.fromEntries(Object.keys(headers).map((name) => [name, self])),
      },
    });
    expect(answer).toMatchObject({ texts: ['abc', ''], done: false });
    expect(answer.error).toBeDefined();
    expect(speaker.attempts).toHaveLength(1);
    expect(await test.telemetry.metrics.text()).toContain(
      `dynamo_frontend_model_migration_refused_total{model="mock",reason="${reason}"} 1`,
    );
  });

  it('waits no longer than its client', async () => {
    const speaker = new Speaker('abcdef');
    speaker.breaks = [3];
    await using test = await leavingFrontend(speaker);
    const gone = new AbortController();
    const response = await test.post(
      '/v1/completions',
      { ...ASK, stream: true },
      {
        signal: gone.signal,
      },
    );
    await response.body?.getReader().read();
    gone.abort();
    await vi.waitFor(async () => {
      expect(await test.telemetry.metrics.text()).toContain('outcome="cancelled"} 1');
    });
  });

  it('does not go to a worker of another model', async () => {
    const gate = new HoldGate();
    const speaker = new Speaker('abcdef');
    speaker.breaks = [3];
    const held: Script = async (request, sink, context) => {
      await gate.pass();
      return speaker.script(request, sink, context);
    };
    await using test = await testFrontend({ script: held, argv: ['--migration-wait=200ms'] });
    const answer = stream(test);
    await gate.arrivals(1);
    const other = new Speaker();
    await using _other = await test.addWorker({ model: 'other', script: other.script });
    await vi.waitFor(() => expect(test.frontend.models.catalog.servable()).toHaveLength(2));
    gate.open();
    expect((await answer).error).toBeDefined();
    expect(other.attempts).toHaveLength(0);
  });
});
