import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { EngineType, makeEngine } from './make-engine.ts';
import type { Message } from './prompt-client.ts';
import { runInput } from './run-input.ts';
import { answerOnce, converse } from './text-input.ts';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dynamo-prompts-'));
});

afterAll(async () => rm(folder, { recursive: true }));

/** Runs an input over an echo engine to its end. @returns what it wrote */
async function run(
  input: string,
  { stdin = '', maxTokens = 200 }: { stdin?: string; maxTokens?: number } = {},
): Promise<string> {
  await using planes = createLocalPlanes();
  await using runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
  const streams = { input: new PassThrough().end(stdin), output: new PassThrough() };
  await runInput({
    runtime,
    input,
    engine: makeEngine({
      engineType: EngineType.Echo,
      modelName: 'm',
      worker: { gracePeriodMs: 0 },
    }),
    signal: new AbortController().signal,
    streams,
    maxTokens,
  });
  streams.output.end();
  return await readAll(streams.output);
}

describe('runInput over prompts', { timeout: 30_000 }, () => {
  it.each(['stdin', 'text'])('answers what is piped in as one prompt (%s)', async (input) => {
    expect(await run(input, { stdin: 'two\nlines\n' })).toContain('two\nlines');
    expect(await run(input, { stdin: 'two\nlines\n', maxTokens: 2 })).toHaveLength(3);
  });

  it('asks for a prompt when there is none', async () => {
    await expect(run('stdin', { stdin: '\n' })).rejects.toMatchObject({
      code: 'request.invalid',
      message: expect.stringContaining('echo "Hello" |') as string,
    });
  });

  it('answers a file of prompts in their order', async () => {
    const path = join(folder, 'prompts.jsonl');
    await writeFile(path, '{"text":"first"}\n\n{"text":"second","more":1}\n{"text":"third"}');
    const summary = await run(`batch:${path}`);
    expect(summary).toMatch(/^3 prompts in .*tokens out \d+ .*output\.jsonl\n$/);
    const lines = (await readFile(join(folder, 'output.jsonl'), 'utf8')).trimEnd().split('\n');
    const entries = lines.map((line) => JSON.parse(line) as { text: string; response: string });
    expect(entries.map(({ text }) => text)).toEqual(['first', 'second', 'third']);
    for (const entry of entries) {
      expect(entry.response).toContain(entry.text);
      expect(entry).toMatchObject({
        tokens_in: expect.any(Number) as number,
        tokens_out: expect.any(Number) as number,
        elapsed_ms: expect.any(Number) as number,
      });
    }
  });

  it('tells which prompts of a file failed', async () => {
    const path = join(folder, 'some.jsonl');
    const long = 'x'.repeat(300_000);
    await writeFile(path, `{"text":"first"}\n{"text":"${long}"}\n`);
    await expect(run(`batch:${path}`)).rejects.toMatchObject({
      message: expect.stringContaining('1 of 2 prompts failed') as string,
    });
    const [, failed = ''] = (await readFile(join(folder, 'output.jsonl'), 'utf8')).split('\n');
    expect(JSON.parse(failed)).toMatchObject({
      error: expect.stringContaining('maximum context length') as string,
    });
  });

  it.each([
    ['{"text":"a"}\nhello', /bad\.jsonl:2 is no JSON/],
    ['{"prompt":"a"}', /bad\.jsonl:1 has no text/],
    [undefined, /cannot read the prompts: ENOENT/],
  ])('asks nothing of a file that is wrong: %j', async (content, message) => {
    const path = join(folder, content === undefined ? 'absent.jsonl' : 'bad.jsonl');
    if (content !== undefined) await writeFile(path, content);
    await expect(run(`batch:${path}`)).rejects.toThrow(message);
  });

  it('does not write over its prompts', async () => {
    const path = join(folder, 'output.jsonl');
    await writeFile(path, '{"text":"a"}');
    await expect(run(`batch:${path}`)).rejects.toThrow('another name');
    expect(await readFile(path, 'utf8')).toBe('{"text":"a"}');
  });
});

describe('answerOnce', () => {
  it('ends with the signal while the prompt is still typed, and asks nothing', async () => {
    const ask = vi.fn();
    const streams = { input: new PassThrough(), output: new PassThrough() };
    const stop = new AbortController();
    const answering = answerOnce({ client: { ask }, streams, signal: stop.signal });
    streams.input.write('half a pro');
    stop.abort();
    await expect(answering).rejects.toMatchObject({ name: 'AbortError' });
    expect(streams.input.destroyed).toBe(true);
    expect(ask).not.toHaveBeenCalled();
  });
});

describe('converse', () => {
  it('gives each answer what was said before, and goes on after one that failed', async () => {
    const asked: (readonly Message[])[] = [];
    const streams = { input: new PassThrough(), output: new PassThrough() };
    const { signal } = new AbortController();
    const talking = converse({
      streams,
      signal,
      client: {
        ask: async (messages, { onText }) => {
          asked.push(messages);
          await nextTurn(); // the input ends meanwhile
          if (asked.length === 2) throw new Error('the engine broke');
          onText?.(`answer ${asked.length}`);
          return {
            text: `answer ${asked.length}`,
            tokensIn: 1,
            tokensOut: 1,
            finishReason: 'stop',
          };
        },
      },
    });
    streams.input.end('one\n\ntwo\nthree\n');
    await talking;
    streams.output.end();
    const shown = await readAll(streams.output);
    expect(shown).toContain('answer 1\n');
    expect(shown).toContain('the engine broke\n');
    expect(shown).toContain('answer 3\n');
    expect(asked[2]?.map(({ content }) => content)).toEqual(['one', 'answer 1', 'three']);
  });
});
