import { setTimeout as delay } from 'node:timers/promises';

const PROMPTS = 30;
const WORDS_PER_PROMPT = 100_000;
const TICK_LIMIT_SECONDS = '0.005';

/** What long prompts did to the frontend's event loop. */
export interface LongPromptStalls {
  readonly prompts: number;
  readonly durations: readonly number[];
  /** Ticks of the frontend's canary timer that came more than 5 ms late, of all ticks. */
  readonly late: number;
  readonly ticks: number;
  readonly lateIdle: number;
  readonly ticksIdle: number;
}

/** Sends 100,000-token prompts one after another and reads the frontend's own event-loop canary. */
export async function longPrompts(url: string): Promise<LongPromptStalls> {
  // The byte-level tokenizer makes one token of each character.
  const prompt = 'a b c d '.repeat(WORDS_PER_PROMPT / 8);
  const body = JSON.stringify({ model: 'mocker', prompt, max_tokens: 1 });
  const durations: number[] = [];
  const before = await canary(url);
  const started = performance.now();
  for (let index = 0; index < PROMPTS; index += 1) {
    const sent = performance.now();
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(text);
    durations.push(performance.now() - sent);
  }
  const after = await canary(url);
  await delay(performance.now() - started);
  const idle = await canary(url);
  return {
    prompts: PROMPTS,
    durations,
    late: after.late - before.late,
    ticks: after.ticks - before.ticks,
    lateIdle: idle.late - after.late,
    ticksIdle: idle.ticks - after.ticks,
  };
}

/** Counts of `dynamo_frontend_event_loop_delay_seconds`. */
async function canary(url: string): Promise<{ readonly ticks: number; readonly late: number }> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const ticks = Number(/event_loop_delay_seconds_count(?:\{[^}]*\})? (\S+)/.exec(text)?.[1]);
  const bucket = new RegExp(
    `event_loop_delay_seconds_bucket\\{[^}]*le="${TICK_LIMIT_SECONDS}"[^}]*\\} (\\S+)`,
  ).exec(text)?.[1];
  if (bucket === undefined || Number.isNaN(ticks)) throw new Error('the canary metric is missing');
  return { ticks, late: ticks - Number(bucket) };
}
