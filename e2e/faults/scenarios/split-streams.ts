/** An engine whose answer reaches the shim cut at every byte. */
import type { ServerResponse } from 'node:http';

import { Fleet } from '../fleet.ts';
import { MODEL } from '../completion.ts';
import { unless } from '../outcome.ts';
import type { Scenario } from '../scenario.ts';
import { ScriptedEngine } from '../scripted-engine.ts';

const TEXT = 'Grüße, 你好, 👩‍👩‍👧 done';

/** SSE and UTF-8 cut at every byte. */
export const SPLIT_STREAMS: Scenario = {
  name: 'split-streams',
  outage: 13,
  load: 'chat requests to an OpenAI-compatible engine',
  fault:
    'the engine sends its stream cut in two at every byte, with every kind of line end, and byte by byte',
  assertion: 'the text arrives whole each time',
  async run() {
    const cuts: Cut[] = [];
    await using engine = await ScriptedEngine.start((_body, response) => {
      const cut = cuts.shift();
      if (cut === undefined) response.writeHead(404).end();
      else void send(response, cut);
    });
    await using fleet = await Fleet.start({
      workers: 1,
      workerArgs: engine.workerArgs,
      cold: true,
    });
    for (const service of fleet.services) await service.start();
    const whole = frames('\n');
    const all: readonly Cut[] = [
      ...Array.from({ length: whole.length - 1 }, (_, at) => ({ bytes: whole, at: [at + 1] })),
      ...['\n', '\r\n', '\r'].map((end) => {
        const bytes = frames(end);
        return { bytes, at: Array.from({ length: bytes.length - 1 }, (_, at) => at + 1) };
      }),
    ];
    const problems: string[] = [];
    for (const cut of all) {
      cuts.push(cut);
      const text = await chat(fleet.urls[0] ?? '');
      if (text !== TEXT) problems.push(`cut at ${cut.at.slice(0, 3).join()}: "${text}"`);
    }
    return {
      requests: all.length,
      failed: problems.length,
      stuck: 0,
      identical: { equal: all.length - problems.length, of: all.length },
      notes: [],
      problems: [...problems.slice(0, 5), ...unless(all.length > 100, 'too few cuts')],
    };
  },
};

/** A stream and where it is cut. */
interface Cut {
  readonly bytes: Buffer;
  readonly at: readonly number[];
}

function frames(lineEnd: string): Buffer {
  const half = Math.ceil(TEXT.length / 2);
  const deltas = [{ content: TEXT.slice(0, half) }, { content: TEXT.slice(half) }, {}];
  const events = deltas.map((delta, index) =>
    JSON.stringify({
      id: 'x',
      object: 'chat.completion.chunk',
      choices: [{ index: 0, delta, finish_reason: index === 2 ? 'stop' : null }],
    }),
  );
  return Buffer.from(
    [...events, '[DONE]'].map((data) => `data: ${data}${lineEnd}${lineEnd}`).join(''),
  );
}

async function send(response: ServerResponse, { bytes, at }: Cut): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.socket?.setNoDelay(true);
  let from = 0;
  for (const to of [...at, bytes.length]) {
    response.write(bytes.subarray(from, to));
    from = to;
    await new Promise((resolve) => setImmediate(resolve));
  }
  response.end();
}

async function chat(url: string): Promise<string> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hi' }] }),
  });
  const body = (await response.json()) as {
    choices?: readonly { message: { content: string } }[];
  };
  return body.choices?.[0]?.message.content ?? JSON.stringify(body);
}
