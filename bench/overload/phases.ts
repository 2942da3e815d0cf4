import { setTimeout as delay } from 'node:timers/promises';

import { complete } from './client.ts';
import type { Outcome, Shape } from './client.ts';

/** What a phase of load gave. */
export interface PhaseResult {
  readonly seconds: number;
  readonly sent: number;
  /** Outcomes of requests that ended within the phase. */
  readonly within: readonly Outcome[];
  /** Outcomes of all requests, those that ended after it too. */
  readonly all: readonly Outcome[];
}

/** So many clients, each with one request at a time. */
export async function closedLoop(
  url: string,
  shape: Shape,
  { clients, seconds }: { readonly clients: number; readonly seconds: number },
): Promise<PhaseResult> {
  const end = performance.now() + seconds * 1000;
  const all: Outcome[] = [];
  const within: Outcome[] = [];
  let sent = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      sent += 1;
      const outcome = await complete(url, shape);
      all.push(outcome);
      if (performance.now() <= end) within.push(outcome);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { seconds, sent, within, all };
}

/** So many requests a second, whether they are answered or not. */
export async function openLoop(
  url: string,
  shape: Shape,
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
): Promise<PhaseResult> {
  const start = performance.now();
  const end = start + seconds * 1000;
  const all: Outcome[] = [];
  const within: Outcome[] = [];
  const running: Promise<void>[] = [];
  for (let sent = 0; sent < perSecond * seconds; sent += 1) {
    const dueMs = start + (sent / perSecond) * 1000 - performance.now();
    if (dueMs > 1) await delay(dueMs);
    running.push(
      complete(url, shape).then((outcome) => {
        all.push(outcome);
        if (performance.now() <= end) within.push(outcome);
      }),
    );
  }
  await Promise.all(running);
  return { seconds, sent: running.length, within, all };
}
