/**
 * Prompts of a file: lines `{"text": "…"}`. The answers go to `output.jsonl` beside it, in the same order, each with the
 * fields `text`, `response`, `tokens_in`, `tokens_out`, `elapsed_ms` and `finish_reason`, or with `error`.
 */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

import { DynamoError, toDynamoError } from '@dynamo-ts/base';

import type { PromptClient } from './prompt-client.ts';

/** What a batch needs. */
export interface BatchInputOptions {
  readonly client: Pick<PromptClient, 'ask'>;
  readonly path: string;
  readonly output: NodeJS.WritableStream;
  readonly signal: AbortSignal;
}

interface BatchResult {
  readonly line: string;
  readonly tokensIn: number;
  readonly tokensOut: number;
  readonly failed: boolean;
}

const OUTPUT_NAME = 'output.jsonl';
/** As many as keep a fleet busy; the engines queue what they cannot run at once. */
const MOST_AT_ONCE = 256;

/**
 * Answers all prompts and prints what it took.
 *
 * @throws `config.invalid` before anything is asked when the file cannot be read or a line is no prompt, `backend.error`
 * at the end when prompts have failed
 */
export async function answerBatch(options: BatchInputOptions): Promise<void> {
  const { path, output } = options;
  const target = join(dirname(path), OUTPUT_NAME);
  if (resolve(path) === resolve(target))
    throw invalid(`${path} is where the answers go; give the prompts another name`);
  for await (const _prompt of promptsOf(path)); // a line that is wrong is known before any is asked
  const startMs = performance.now();
  const sum = { prompts: 0, tokensIn: 0, tokensOut: 0, failed: 0 };
  await using file = await open(target, 'w');
  for await (const result of answers(options)) {
    await file.write(`${result.line}\n`);
    sum.prompts += 1;
    sum.tokensIn += result.tokensIn;
    sum.tokensOut += result.tokensOut;
    sum.failed += result.failed ? 1 : 0;
  }
  const seconds = (performance.now() - startMs) / 1000;
  const rate = (tokens: number): string => `${tokens} (${(tokens / seconds).toFixed(1)}/s)`;
  output.write(
    `${sum.prompts} prompts in ${seconds.toFixed(2)} s, tokens in ${rate(sum.tokensIn)}, tokens out ${rate(sum.tokensOut)}; the answers are in ${target}\n`,
  );
  if (sum.failed > 0)
    throw new DynamoError(
      'backend.error',
      `${sum.failed} of ${sum.prompts} prompts failed; their lines in ${target} say why`,
    );
}

/** Answers in the order of the prompts, while the next ones are worked on. */
async function* answers(options: BatchInputOptions): AsyncGenerator<BatchResult> {
  const working: Promise<BatchResult>[] = [];
  for await (const prompt of promptsOf(options.path)) {
    options.signal.throwIfAborted();
    working.push(answer(options, prompt));
    const first = working.length < MOST_AT_ONCE ? undefined : working.shift();
    if (first !== undefined) yield await first;
  }
  for (const result of working) yield await result;
}

async function answer({ client, signal }: BatchInputOptions, text: string): Promise<BatchResult> {
  const startMs = performance.now();
  const took = (): number => Math.round(performance.now() - startMs);
  try {
    const result = await client.ask([{ role: 'user', content: text }], { signal });
    const { tokensIn, tokensOut } = result;
    const entry = {
      text,
      response: result.text,
      tokens_in: tokensIn,
      tokens_out: tokensOut,
      elapsed_ms: took(),
      finish_reason: result.finishReason,
    };
    return { line: JSON.stringify(entry), tokensIn, tokensOut, failed: false };
  } catch (error) {
    const { message } = toDynamoError(error);
    const entry = { text, elapsed_ms: took(), error: message };
    return { line: JSON.stringify(entry), tokensIn: 0, tokensOut: 0, failed: true };
  }
}

async function* promptsOf(path: string): AsyncGenerator<string> {
  let number = 0;
  for await (const line of linesOf(path)) {
    number += 1;
    if (line.trim() !== '') yield promptOf(line, `${path}:${number}`);
  }
}

async function* linesOf(path: string): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: createReadStream(path), crlfDelay: Infinity });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw invalid(`cannot read the prompts: ${reason}`, cause);
  }
}

function promptOf(line: string, where: string): string {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch (cause) {
    throw invalid(`${where} is no JSON; a line is {"text": "a prompt"}`, cause);
  }
  const text = typeof entry === 'object' && entry !== null && 'text' in entry ? entry.text : '';
  if (typeof text === 'string' && text !== '') return text;
  throw invalid(`${where} has no text; a line is {"text": "a prompt"}`);
}

function invalid(message: string, cause?: unknown): DynamoError {
  return new DynamoError('config.invalid', message, { cause });
}
