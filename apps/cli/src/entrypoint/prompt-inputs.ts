/** Inputs whose requests are made in this process: they wait for a model, then ask it. */
import { DynamoError } from '@dynamo-ts/base';

import { waitUntilServable } from '../up/readiness.ts';
import { answerBatch } from './batch-input.ts';
import type { PromptInput } from './input.ts';
import { PromptClient } from './prompt-client.ts';
import type { RunInputOptions } from './run-input-options.ts';
import { answerOnce, converse } from './text-input.ts';

/** What {@link runPrompts} needs. */
export interface RunPromptsOptions extends Omit<RunInputOptions, 'input'> {
  readonly input: PromptInput;
  /** `http://host:port` of the frontend. */
  readonly url: string;
}

const DEFAULT_MAX_TOKENS = 8192;

/** Answers prompts to their end. Resolves when aborted. @throws what they fail with */
export async function runPrompts(options: RunPromptsOptions): Promise<void> {
  const { input, signal, streams = { input: process.stdin, output: process.stdout } } = options;
  try {
    const client = new PromptClient({
      url: options.url + options.engine.frontend.chatPath,
      model: await servedModel(options),
      maxTokens: options.maxTokens ?? DEFAULT_MAX_TOKENS,
    });
    const { path } = input.kind === 'batch' ? input : { path: undefined };
    if (path !== undefined) await answerBatch({ client, path, output: streams.output, signal });
    else if (input.kind === 'text' && streams.input.isTTY === true)
      await converse({ client, streams, signal });
    else await answerOnce({ client, streams, signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** The model to ask, once it is served. */
async function servedModel({ url, engine, signal }: RunPromptsOptions): Promise<string> {
  const { healthPath, modelsPath } = engine.frontend;
  const { models } = await waitUntilServable({
    port: Number(new URL(url).port),
    healthPath,
    modelsPath,
    workers: 1,
    signal,
    onSlow: ({ waitedMs }) =>
      process.stderr.write(`waiting for a model since ${Math.round(waitedMs / 1000)} s\n`),
  });
  if (engine.modelName !== undefined) return engine.modelName;
  const [only, ...others] = models;
  if (only !== undefined && others.length === 0) return only;
  throw new DynamoError(
    'request.invalid',
    `several models are served, name one of them: ${models.join(', ')}`,
  );
}
