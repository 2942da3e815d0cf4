/** Sends a workload with a fixed number of clients and measures what each answer says of its cache. */
import { MODEL_NAME } from '../sides/side.ts';
import type { Turn } from './workload.ts';

/** What a workload came to on one system. */
export interface GainFigures {
  readonly requests: number;
  readonly failed: number;
  /** Prompt tokens that the engines had in cache, of all prompt tokens. */
  readonly cachedShare: number;
  readonly ttftMs: readonly number[];
  /** Requests of the busiest worker over the mean of all; undefined when the system does not tell workers. */
  readonly maxOverMean: number | undefined;
}

interface Answer {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly ttftMs: number;
  readonly worker: string | undefined;
}

/** Runs all sessions, `concurrency` at a time, each from its first turn to its last. */
export async function drive(
  url: string,
  sessions: readonly (readonly Turn[])[],
  options: { readonly concurrency: number; readonly workers: number },
): Promise<GainFigures> {
  const answers: Answer[] = [];
  let failed = 0;
  let next = 0;
  const client = async (): Promise<void> => {
    for (let index = next++; index < sessions.length; index = next++)
      for (const turn of sessions[index] ?? []) {
        const answer = await ask(url, turn);
        if (answer === undefined) failed += 1;
        else answers.push(answer);
      }
  };
  await Promise.all(Array.from({ length: options.concurrency }, client));
  return { ...figures(answers, options.workers), failed };
}

function figures(answers: readonly Answer[], workers: number): Omit<GainFigures, 'failed'> {
  const sum = (pick: (answer: Answer) => number): number =>
    answers.reduce((total, answer) => total + pick(answer), 0);
  const counts = new Map<string, number>();
  for (const { worker } of answers)
    if (worker !== undefined) counts.set(worker, (counts.get(worker) ?? 0) + 1);
  const told = [...counts.values()].reduce((total, count) => total + count, 0);
  return {
    requests: answers.length,
    cachedShare: sum(({ cachedTokens }) => cachedTokens) / sum(({ promptTokens }) => promptTokens),
    ttftMs: answers.map(({ ttftMs }) => ttftMs),
    maxOverMean: told === 0 ? undefined : Math.max(...counts.values()) / (told / workers),
  };
}

interface Chunk {
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  readonly nvext?: { readonly worker_id?: Readonly<Record<string, unknown>> } | null;
}

async function ask(url: string, { prompt, outputTokens }: Turn): Promise<Answer | undefined> {
  const sent = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: MODEL_NAME,
      messages: [{ role: 'user', content: prompt }],
      max_tokens: outputTokens,
      stream: true,
      stream_options: { include_usage: true },
      nvext: { extra_fields: ['worker_id'] },
    }),
  });
  if (!response.ok || response.body === null) return undefined;
  let ttftMs = Number.NaN;
  let text = '';
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    if (Number.isNaN(ttftMs) && part.includes('"content"')) ttftMs = performance.now() - sent;
    text += part;
  }
  return text.includes('[DONE]') ? { ...read(text), ttftMs } : undefined;
}

function read(text: string): Omit<Answer, 'ttftMs'> {
  const chunks = text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice('data: '.length)) as Chunk);
  const usage = chunks.flatMap((chunk) => chunk.usage ?? []).at(-1);
  const worker = chunks.flatMap((chunk) => chunk.nvext?.worker_id ?? []).at(-1);
  return {
    promptTokens: usage?.prompt_tokens ?? 0,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    worker: worker === undefined ? undefined : JSON.stringify(worker),
  };
}
