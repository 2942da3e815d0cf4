/** A client that does not read: the worker must come to wait for it, and memory stay bounded. */
import { connect } from 'node:net';

import { FinishReason } from '@dynamo-ts/protocol';
import { describe, expect, it, vi } from 'vitest';

import { idsOf, testFrontend, tokens } from './scripted-worker.ts';
import type { Script } from './scripted-worker.ts';

const TOTAL = 400_000;

/** Writes tokens as long as there is credit, in tens per message. */
function eagerScript() {
  const seen = { written: 0, waits: 0 };
  const script: Script = async (_request, sink) => {
    const item = tokens(idsOf('0123456789'));
    while (seen.written < TOTAL) {
      seen.written += 10;
      if (sink.write(item)) continue;
      seen.waits += 1;
      await sink.drained();
    }
    sink.write(tokens(new Uint32Array(), { finishReason: FinishReason.FINISH_REASON_LENGTH }));
    sink.end();
  };
  return { script, seen };
}

/** How many tokens the worker has written once it goes no further. */
async function settled(seen: { readonly written: number }): Promise<number> {
  let last = -1;
  await vi.waitFor(
    () => {
      const before = last;
      last = seen.written;
      expect(last).toBe(before);
      expect(last).toBeGreaterThan(0);
    },
    { interval: 300, timeout: 20_000 },
  );
  return last;
}

describe('a client that does not read', () => {
  it('holds the worker, and gets everything when it reads on', { timeout: 60_000 }, async () => {
    const { script, seen } = eagerScript();
    await using test = await testFrontend({ script, contextLength: 1_000_000 });
    const { hostname, port } = new URL(test.url);
    const socket = connect(Number(port), hostname);
    socket.pause();
    const body = JSON.stringify({ model: 'mock', prompt: 'x', max_tokens: TOTAL, stream: true });
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    const held = await settled(seen);
    // What the kernel takes is text of some ten thousand tokens; the rest is the credit of the request plane.
    expect(held).toBeLessThan(TOTAL / 2);
    expect(seen.waits).toBeGreaterThan(0);

    let characters = 0;
    let tail = '';
    for await (const chunk of socket) {
      const text = tail + String(chunk);
      const lines = text.split('\n');
      tail = lines.pop() ?? '';
      for (const line of lines) characters += /"text":"(\d)"/.test(line) ? 1 : 0;
    }
    expect(characters).toBe(TOTAL);
  });
});
