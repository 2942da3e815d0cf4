/**
 * Two real llama-servers, one killed in the middle of an answer: the client's stream goes on, and it goes on with what the
 * survivor itself says to the same token ids.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

import { DynamoProcess, eventually, freePort } from '@dynamo-ts/testing';
import { afterEach, describe, expect, it } from 'vitest';

const { DYN_TEST_LLAMA_SERVER: program, DYN_TEST_GGUF: gguf } = process.env;
if (program === undefined || gguf === undefined) {
  process.stderr.write('skipped: set DYN_TEST_LLAMA_SERVER and DYN_TEST_GGUF\n');
}

const MESSAGES = [
  { role: 'system', content: 'You are a helpful assistant.' },
  { role: 'user', content: 'Tell me a long story about a lighthouse keeper.' },
];
const MAX_TOKENS = 120;
const TOKENS_BEFORE_KILL = 25;
const engines: Engine[] = [];

/** A llama-server. */
interface Engine {
  readonly url: string;
  readonly child: ChildProcess;
}

afterEach(() => {
  for (const { child } of engines.splice(0)) child.kill('SIGKILL');
});

async function startEngine(): Promise<Engine> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const args = ['--model', gguf!, '--port', String(port), '-c', '4096', '-t', '1', '-np', '1'];
  const engine = { url, child: spawn(program!, args, { stdio: 'ignore' }) };
  engines.push(engine);
  await eventually(async () => (await fetch(`${url}/health`)).status === 200, {
    timeoutMs: 60_000,
  });
  return engine;
}

async function isBusy({ url }: Engine): Promise<boolean> {
  const slots = (await (await fetch(`${url}/slots`)).json()) as { is_processing: boolean }[];
  return slots.some(({ is_processing: processing }) => processing);
}

/** Streams the answer; `onToken` is told how many tokens have come. */
async function answer(
  url: string,
  onToken: (count: number) => Promise<void>,
): Promise<{ ids: number[]; finish: string | null }> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{ model: await modelName(url), messages: MESSAGES, temperature: 0, stream: true },
      ...{ max_tokens: MAX_TOKENS, logprobs: true, return_tokens_as_token_ids: true },
    }),
  });
  expect(response.status).toBe(200);
  const ids: number[] = [];
  let finish: string | null = null;
  let rest = '';
  for await (const bytes of response.body!.pipeThrough(new TextDecoderStream())) {
    const events = (rest + bytes).split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      if (!event.startsWith('data: {')) continue;
      const chunk = JSON.parse(event.slice('data: '.length)) as {
        choices: {
          finish_reason: string | null;
          logprobs?: { content?: { token: string }[] } | null;
        }[];
        error?: unknown;
      };
      expect(chunk.error).toBeUndefined();
      const [choice] = chunk.choices;
      for (const { token } of choice?.logprobs?.content ?? [])
        ids.push(Number(token.slice('token_id:'.length)));
      finish = choice?.finish_reason ?? finish;
      await onToken(ids.length);
    }
  }
  return { ids, finish };
}

async function modelName(url: string): Promise<string> {
  const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
  return models.data[0]?.id ?? '';
}

/** The template's and tokenizer's ids of the conversation, by the engine's own means. */
async function promptIds(engine: Engine): Promise<number[]> {
  const { prompt } = await post<{ prompt: string }>(engine, '/apply-template', {
    messages: MESSAGES,
  });
  const body = { content: prompt, parse_special: true };
  return (await post<{ tokens: number[] }>(engine, '/tokenize', body)).tokens;
}

/** What the engine says after these ids, computed anew. */
async function continuation(engine: Engine, prompt: number[], count: number): Promise<number[]> {
  const { tokens } = await post<{ tokens: number[] }>(engine, '/completion', {
    prompt,
    temperature: 0,
    n_predict: count,
    cache_prompt: false,
    return_tokens: true,
  });
  return tokens;
}

async function post<T>({ url }: Engine, path: string, body: unknown): Promise<T> {
  const response = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) });
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}

describe.runIf(program !== undefined && gguf !== undefined)('two llama-servers', () => {
  it('go on with an answer whose server was killed, as the survivor itself would', async () => {
    const pair = await Promise.all([startEngine(), startEngine()]);
    await using dynamo = new DynamoProcess([
      ...['up', '--processes', '--port', '0', '--engine', 'llama-server', '--log', 'info'],
      ...pair.flatMap(({ url }) => ['--engine-url', url]),
    ]);
    const url = await dynamo.ready();
    let killed: Engine | undefined;
    const { ids, finish } = await answer(url, async (count) => {
      if (count < TOKENS_BEFORE_KILL || killed !== undefined) return;
      const [first, second] = pair;
      killed = (await isBusy(first)) ? first : second;
      killed.child.kill('SIGKILL');
    });
    expect(finish === 'length' || finish === 'stop').toBe(true);
    const survivor = pair.find((engine) => engine !== killed)!;
    const moved = /request moved to another worker.*?generated_tokens["=: ]+(\d+)/s.exec(
      dynamo.out + dynamo.err,
    );
    const before = Number(moved?.[1]);
    expect(before).toBeGreaterThanOrEqual(TOKENS_BEFORE_KILL);
    expect(ids.length).toBeGreaterThan(before + 20);
    const prompt = [...(await promptIds(survivor)), ...ids.slice(0, before)];
    expect(await continuation(survivor, prompt, ids.length - before)).toEqual(ids.slice(before));
  });
});
