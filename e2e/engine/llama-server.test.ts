/**
 * A real llama-server behind `dynamo up`, started by it and attached by URL: our template and tokenizer, its text.
 * DYN_TEST_LLAMA_SERVER names the program, DYN_TEST_GGUF a chat model.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

import { DynamoProcess, freePort } from '@dynamo-ts/testing';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const { DYN_TEST_LLAMA_SERVER: program, DYN_TEST_GGUF: gguf } = process.env;
if (program === undefined || gguf === undefined) {
  process.stderr.write('skipped: set DYN_TEST_LLAMA_SERVER and DYN_TEST_GGUF\n');
}

const up = (...args: string[]): DynamoProcess => new DynamoProcess(['up', '--port', '0', ...args]);

const MESSAGES = [
  { role: 'system' as const, content: 'You are a helpful assistant.' },
  { role: 'user' as const, content: 'What is the capital of France?' },
];

describe.runIf(program !== undefined && gguf !== undefined)('dynamo up with llama-server', () => {
  let server: ChildProcess;
  let serverUrl: string;

  beforeAll(async () => {
    const port = await freePort();
    serverUrl = `http://127.0.0.1:${port}`;
    server = spawn(program!, ['--model', gguf!, '--port', String(port), '-c', '4096', '-t', '2'], {
      stdio: 'ignore',
    });
    await vi.waitFor(
      async () => {
        expect((await fetch(`${serverUrl}/health`)).status).toBe(200);
      },
      { timeout: 60_000, interval: 200 },
    );
  });

  afterAll(async () => {
    const exited = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGKILL');
    await exited;
  });

  async function capitalOfFrance(url: string): Promise<{ text: string; finish: string | null }> {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const [model] = (await client.models.list()).data;
    const stream = await client.chat.completions.create({
      model: model!.id,
      messages: MESSAGES,
      temperature: 0,
      max_completion_tokens: 48,
      stream: true,
    });
    let text = '';
    let finish: string | null = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    return { text, finish };
  }

  /** What llama-server itself answers to the same tokens, made by its own template and tokenizer. */
  async function itsOwnAnswer(): Promise<string> {
    const { prompt } = await post<{ prompt: string }>('/apply-template', { messages: MESSAGES });
    const { tokens } = await post<{ tokens: number[] }>('/tokenize', {
      content: prompt,
      parse_special: true,
    });
    const answer = await post<{ content: string }>('/completion', {
      prompt: tokens,
      temperature: 0,
      n_predict: 48,
      cache_prompt: true,
    });
    return answer.content;
  }

  async function post<T>(path: string, body: unknown): Promise<T> {
    const response = await fetch(serverUrl + path, { method: 'POST', body: JSON.stringify(body) });
    expect(response.status).toBe(200);
    return (await response.json()) as T;
  }

  it('answers sensibly when attached, with the very text that the server gives to the same tokens', async () => {
    await using dynamo = up('--engine', 'llama-server', '--engine-url', serverUrl);
    const url = await dynamo.ready();
    // llama.cpp's numerics differ between a computed and a cached prompt: compare both with a warm cache.
    await capitalOfFrance(url);
    const ours = await capitalOfFrance(url);
    expect(ours.text).toMatch(/Paris/);
    expect(ours.finish).toBe('stop');
    expect(ours.text).toBe(await itsOwnAnswer());
  });

  it('starts the server itself from a command and a model file', async () => {
    await using dynamo = up(
      ...['--engine', 'llama-server', '--model', gguf!, '--engine-command', program!],
    );
    const url = await dynamo.ready();
    expect((await capitalOfFrance(url)).text).toMatch(/Paris/);
  });
});
