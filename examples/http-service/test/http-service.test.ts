import { join } from 'node:path';

import { NodeProgram, eventually } from '@dynamo-ts/testing';
import { describe, expect, it } from 'vitest';

const MAIN = join(import.meta.dirname, '../src/main.ts');

describe('an engine of one’s own behind HttpService', { timeout: 60_000 }, () => {
  it('answers, and ends the answers that run when it is stopped', async () => {
    await using program = NodeProgram.start(MAIN, { args: ['127.0.0.1', '0'] });
    const [, url = ''] = await eventually(
      () => /serving reverser on (\S+)/.exec(program.lines.join('\n')),
      { timeoutMs: 30_000 },
    );
    const ask = (fields: object): Promise<Response> =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'reverser',
          messages: [{ role: 'user', content: 'one two three' }],
          ...fields,
        }),
      });
    expect(await (await ask({})).json()).toMatchObject({
      choices: [{ message: { content: 'three two one' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 3 },
    });
    expect(await (await ask({ max_tokens: 1 })).json()).toMatchObject({
      choices: [{ message: { content: 'three' }, finish_reason: 'length' }],
    });

    const running = await ask({ stream: true }); // the first word is there
    program.signal('SIGTERM');
    const events = await running.text();
    expect(events).toContain('" one"');
    expect(events).toContain('[DONE]');
    expect(await program.exited, program.stderr).toBe(0);
    expect(program.lines.at(-1)).toBe('stopped');
  });
});
