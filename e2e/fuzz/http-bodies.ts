/** Bodies for the OpenAI endpoints: good ones from the corpus with some of their parts changed, and changed bytes. */
import { readFileSync } from 'node:fs';

import { Fleet } from '../faults/fleet.ts';
import { MODEL, complete } from '../faults/completion.ts';
import { Dice, mutatedBytes, mutatedJson } from './mutation.ts';
import type { Json } from './mutation.ts';
import type { FuzzTarget, FuzzTargetSpec } from './target.ts';

/** A good request. */
interface CorpusEntry {
  readonly path: string;
  readonly body: Json;
}

/** What is named as not offered is no server error. */
const NOT_IMPLEMENTED = 501;

const CORPUS = JSON.parse(
  readFileSync(new URL('corpus/http-bodies.json', import.meta.url), 'utf8'),
) as readonly CorpusEntry[];

/** The HTTP API of a real frontend with two mock workers. */
export const HTTP_BODIES: FuzzTargetSpec = {
  name: 'http',
  what: 'bodies of chat and completion requests',
  async start() {
    const fleet = await Fleet.start({
      workers: 2,
      workerArgs: ['--speedup-ratio=0', '--max-model-len=8192', '--max-num-seqs=64'],
    });
    return new HttpBodies(fleet);
  },
};

class HttpBodies implements FuzzTarget {
  readonly #fleet: Fleet;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  async attempt(seed: number): Promise<string | undefined> {
    const { path, body } = hostileRequest(new Dice(seed));
    const response = await fetch(`${this.#fleet.urls[0]}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await response.text();
    if (response.status >= 500 && response.status !== NOT_IMPLEMENTED)
      return `${response.status} ${text.slice(0, 300)} for ${path} ${shown(body)}`;
    if (response.status === 200 && brokenStream(response, text))
      return `the stream broke: ${text.slice(-300)} for ${path} ${shown(body)}`;
    return undefined;
  }

  async works(): Promise<void> {
    const ending = await complete(this.#fleet.urls[0] ?? '', { prompt: 'good', max_tokens: 3 });
    if (ending.kind !== 'answered') throw new Error(JSON.stringify(ending));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fleet[Symbol.asyncDispose]();
  }
}

function hostileRequest(dice: Dice): { readonly path: string; readonly body: Uint8Array } {
  const { path, body } = dice.pick(CORPUS);
  const named = { ...(body as object), model: MODEL } as Json;
  const value = dice.once(5) ? named : mutatedJson(named, dice);
  const bytes = Buffer.from(JSON.stringify(value));
  return { path, body: dice.once(6) ? mutatedBytes(bytes, dice) : bytes };
}

/** A stream that began well has `[DONE]` or says by a client's error why not. */
function brokenStream(response: Response, text: string): boolean {
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  return isStream && !text.includes('[DONE]') && !text.includes('"type":"invalid_request_error"');
}

function shown(body: Uint8Array): string {
  return Buffer.from(body).toString('latin1').slice(0, 600);
}
