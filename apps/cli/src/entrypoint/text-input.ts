/** Prompts that somebody types or pipes in. */
import { createInterface } from 'node:readline';
import type { Interface } from 'node:readline';
import { addAbortSignal } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';

import { DynamoError, toDynamoError } from '@dynamo-ts/base';

import type { Message, PromptClient } from './prompt-client.ts';
import type { InputStreams } from './run-input-options.ts';

/** What a conversation needs. */
export interface TextInputOptions {
  readonly client: Pick<PromptClient, 'ask'>;
  readonly streams: InputStreams;
  readonly signal: AbortSignal;
}

/**
 * Answers the whole of the input as one prompt. The signal ends reading too, and the input with it: a terminal that is left
 * open would hold the process.
 *
 * @throws `request.invalid` when it is empty, `AbortError` when the signal comes first, and what the answer fails with
 */
export async function answerOnce({ client, streams, signal }: TextInputOptions): Promise<void> {
  const { input, output } = streams;
  const prompt = (await readAll(addAbortSignal(signal, input))).trimEnd();
  if (prompt === '') {
    throw new DynamoError(
      'request.invalid',
      'there is no prompt on stdin: pipe one in, as in echo "Hello" | dynamo run in=stdin',
    );
  }
  const onText = (piece: string): void => void output.write(piece);
  await client.ask([{ role: 'user', content: prompt }], { signal, onText });
  output.write('\n');
}

/** Answers line by line until the input ends; each answer knows what was said before. Ctrl-C ends an answer, then the rest. */
export async function converse(options: TextInputOptions): Promise<void> {
  const { streams, signal } = options;
  const lines = createInterface({ ...streams, prompt: '> ', signal });
  const messages: Message[] = [];
  // Ctrl-D in the middle of an answer: a closed reader shows no prompt, and throws when asked to.
  const reader = { isClosed: false };
  lines.once('close', () => (reader.isClosed = true));
  lines.prompt();
  for await (const line of lines) {
    if (line.trim() !== '') await takeTurn(options, { lines, messages, prompt: line });
    if (!reader.isClosed) lines.prompt();
  }
  streams.output.write('\n');
}

interface Turn {
  readonly lines: Interface;
  readonly messages: Message[];
  readonly prompt: string;
}

async function takeTurn(
  { client, streams, signal }: TextInputOptions,
  { lines, messages, prompt }: Turn,
): Promise<void> {
  const { output } = streams;
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  // While there is a listener the line reader does not end.
  lines.on('SIGINT', interrupt);
  const asked: readonly Message[] = [...messages, { role: 'user', content: prompt }];
  try {
    const { text } = await client.ask(asked, {
      signal: AbortSignal.any([stop.signal, signal]),
      onText: (piece) => void output.write(piece),
    });
    messages.splice(0, messages.length, ...asked, { role: 'assistant', content: text });
    output.write('\n');
  } catch (error) {
    signal.throwIfAborted();
    output.write(stop.signal.aborted ? '\n' : `${toDynamoError(error).message}\n`);
  } finally {
    lines.off('SIGINT', interrupt);
  }
}
