/**
 * Clients that ask the same few questions over and over, each as soon as the last one is answered, and compare every
 * answer with the one of an undisturbed fleet.
 */
import { isDeepStrictEqual } from 'node:util';

import { complete } from './completion.ts';
import type { Answer, Body, Ending } from './completion.ts';

/** Settings of a {@link Load}. */
export interface LoadOptions {
  /** Frontends, asked in turn. */
  readonly urls: readonly string[];
  readonly clients: number;
  /** Questions; each names its seed, so that its answer is always the same. */
  readonly bodies: readonly Body[];
  /** A request without an end by then is stuck. @default 60000 */
  readonly deadlineMs?: number;
  /** Pause of each client between two requests. @default 0 */
  readonly pauseMs?: number;
}

/** What the clients saw. */
export interface LoadCounts {
  readonly requests: number;
  readonly failed: number;
  readonly stuck: number;
  readonly identical: { readonly equal: number; readonly of: number };
  /** Different failures, the most frequent first, with their number. */
  readonly failures: readonly string[];
}

/** Questions of several kinds: streamed and whole, short and long prompts, one and several choices. */
export const MIXED_BODIES: readonly Body[] = [
  { prompt: 'one', max_tokens: 120, seed: 1, stream: true },
  { prompt: 'a longer prompt of several blocks '.repeat(8), max_tokens: 90, seed: 2, stream: true },
  { prompt: ['two', 'prompts'], n: 2, max_tokens: 60, temperature: 1, seed: 5, stream: true },
  { prompt: 'whole', max_tokens: 100, seed: 6 },
  { prompt: 'at least', max_tokens: 110, min_tokens: 100, seed: 7, stream: true },
];

/** Answers of three to four seconds. */
export const LONG_BODIES: readonly Body[] = [
  { prompt: 'long', max_tokens: 400, seed: 11, stream: true },
  { prompt: 'longer', max_tokens: 500, seed: 12, stream: true, temperature: 1 },
  { prompt: 'whole and long', max_tokens: 400, seed: 13 },
];

/** A running load. */
export class Load {
  readonly #options: LoadOptions;
  readonly #expected: readonly Answer[];
  readonly #clients: readonly Promise<void>[];
  readonly #failures = new Map<string, number>();
  #stopped = false;
  #requests = 0;
  #failed = 0;
  #stuck = 0;
  #equal = 0;
  #compared = 0;
  #inFlight = 0;

  private constructor(options: LoadOptions, expected: readonly Answer[]) {
    this.#options = options;
    this.#expected = expected;
    this.#clients = Array.from({ length: options.clients }, (_, client) => this.#client(client));
  }

  /** Learns the undisturbed answers, then starts the clients. */
  static async start(options: LoadOptions): Promise<Load> {
    const url = options.urls[0] ?? '';
    const endings = await Promise.all(options.bodies.map((body) => complete(url, body)));
    return new Load(options, endings.map(undisturbed));
  }

  /** Requests answered or failed so far. */
  get requests(): number {
    return this.#requests;
  }

  /** Requests that wait for their end now. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Requests that got no or a wrong answer so far. */
  get failed(): number {
    return this.#failed;
  }

  /** Lets the requests that run come to their end. */
  async stop(): Promise<LoadCounts> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    const failures = [...this.#failures].sort((one, other) => other[1] - one[1]);
    return {
      requests: this.#requests,
      failed: this.#failed,
      stuck: this.#stuck,
      identical: { equal: this.#equal, of: this.#compared },
      failures: failures.map(([message, count]) => `${count} × ${message}`),
    };
  }

  async #client(client: number): Promise<void> {
    const { bodies, urls, pauseMs = 0, deadlineMs } = this.#options;
    for (let turn = client; !this.#stopped; turn += 1) {
      const index = turn % bodies.length;
      this.#inFlight += 1;
      const ending = await complete(
        urls[turn % urls.length] ?? '',
        bodies[index] ?? {},
        deadlineMs === undefined ? {} : { deadlineMs },
      );
      this.#inFlight -= 1;
      this.#count(ending, this.#expected[index]);
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  #count(ending: Ending, expected: Answer | undefined): void {
    this.#requests += 1;
    if (ending.kind === 'stuck') {
      this.#stuck += 1;
      return;
    }
    if (ending.kind !== 'answered') {
      this.#fail(ending.kind === 'refused' ? `${ending.status} ${ending.message}` : ending.message);
      return;
    }
    this.#compared += 1;
    if (isSame(ending.answer, expected)) this.#equal += 1;
    else this.#fail('another answer than undisturbed');
  }

  #fail(message: string): void {
    this.#failed += 1;
    this.#failures.set(message, (this.#failures.get(message) ?? 0) + 1);
  }
}

/** Cached tokens depend on the worker and on what ran before. */
function isSame(answer: Answer, expected: Answer | undefined): boolean {
  return isDeepStrictEqual(
    { ...answer, cachedTokens: undefined },
    { ...expected, cachedTokens: undefined },
  );
}

function undisturbed(ending: Ending): Answer {
  if (ending.kind === 'answered') return ending.answer;
  throw new Error(`the undisturbed fleet did not answer: ${JSON.stringify(ending)}`);
}
