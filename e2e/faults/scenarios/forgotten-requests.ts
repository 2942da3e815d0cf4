/** An engine that forgets some of its requests and serves all others. */
import type { ServerResponse } from 'node:http';

import { complete } from '../completion.ts';
import type { Ending } from '../completion.ts';
import { Fleet } from '../fleet.ts';
import { unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';
import { ScriptedEngine } from '../scripted-engine.ts';

const CLIENTS = 6;
const PIECES = 8;
const PIECE_MS = 40;

/** Requests that get no token beside others that do. */
export const FORGOTTEN_REQUESTS: Scenario = {
  name: 'forgotten-requests',
  load: `${CLIENTS} clients on two workers with an OpenAI-compatible engine`,
  fault: 'the engine forgets some requests the first time it gets them, and serves all others',
  assertion:
    'each of them moves on and is answered; the engine is told to leave it; the others do not notice',
  async run({ size, progress }) {
    const forgotten = bySize(size, { short: 6, long: 200 });
    const script = new Script();
    await using engine = await ScriptedEngine.start(script.answer);
    await using fleet = await Fleet.start({
      workers: 2,
      workerArgs: [
        ...engine.workerArgs,
        '--engine-first-token-timeout=3',
        '--engine-stall-timeout=3',
      ],
    });
    const [url = ''] = fleet.urls;
    const endings: Ending[] = [];
    let left = forgotten;
    let next = 0;
    const flow = async (): Promise<void> => {
      while (left > 0) endings.push(await ask(url, `flows ${(next += 1)}`));
    };
    const flows = Array.from({ length: CLIENTS }, flow);
    let toForget = 0;
    const forget = async (): Promise<void> => {
      for (let index = toForget++; index < forgotten; index = toForget++) {
        endings.push(await ask(url, `forget ${index}`));
        left -= 1;
        progress(`${forgotten - left} of ${forgotten} forgotten requests have ended`);
      }
    };
    await Promise.all([...flows, ...Array.from({ length: CLIENTS }, forget)]);
    const wrong = endings.filter(({ kind }) => kind !== 'answered');
    return {
      requests: endings.length,
      failed: wrong.filter(({ kind }) => kind !== 'stuck').length,
      stuck: wrong.filter(({ kind }) => kind === 'stuck').length,
      identical: { equal: endings.length - wrong.length, of: endings.length },
      notes: [`${script.forgotten} requests forgotten, ${script.left} of them left`],
      problems: [
        ...wrong.slice(0, 5).map((ending) => JSON.stringify(ending)),
        ...unless(script.forgotten === forgotten, 'the engine did not forget what it should'),
        ...unless(script.left === forgotten, 'the engine was not told to leave what it forgot'),
      ],
    };
  },
};

/** Answers with the prompt, piece by piece; forgets each prompt that begins with "forget" once. */
class Script {
  /** Requests that were never answered. */
  forgotten = 0;
  /** Of those, the ones whose caller has left. */
  left = 0;
  readonly #known = new Set<string>();

  readonly answer = (body: string, response: ServerResponse): void => {
    const { prompt } = JSON.parse(body) as { readonly prompt: string };
    if (prompt.startsWith('forget') && !this.#known.has(prompt)) {
      this.#known.add(prompt);
      this.forgotten += 1;
      response.on('close', () => {
        this.left += 1;
      });
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      return;
    }
    void this.#say(prompt, response);
  };

  async #say(prompt: string, response: ServerResponse): Promise<void> {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let piece = 0; piece < PIECES; piece += 1) {
      const finish = piece === PIECES - 1 ? 'stop' : null;
      const choice = { index: 0, text: `${prompt};`, finish_reason: finish };
      const chunk = { id: 'x', object: 'text_completion', choices: [choice] };
      response.write(`data: ${JSON.stringify(chunk)}\n\n`);
      await new Promise((resolve) => setTimeout(resolve, PIECE_MS));
    }
    response.end('data: [DONE]\n\n');
  }
}

/** An answer with another text than expected is broken. */
async function ask(url: string, prompt: string): Promise<Ending> {
  const ending = await complete(url, { prompt, stream: true });
  if (ending.kind !== 'answered' || ending.answer.texts[0] === `${prompt};`.repeat(PIECES))
    return ending;
  return { kind: 'broken', message: `"${prompt}" was answered "${ending.answer.texts[0]}"` };
}
