import { DynamoError } from '@dynamo-ts/base';

import type { EntrypointEngine } from './make-engine.ts';

/** Where requests come from (RF 7.3). */
export type Input =
  | { readonly kind: 'http' }
  /** A worker, at `uri` or at its default endpoint. */
  | { readonly kind: 'endpoint'; readonly uri: string | undefined }
  /** A conversation; one prompt when nobody types. */
  | { readonly kind: 'text' }
  | { readonly kind: 'stdin' }
  | { readonly kind: 'batch'; readonly path: string };

/** Inputs whose requests are made in this process. */
export type PromptInput = Extract<Input, { kind: 'text' | 'stdin' | 'batch' }>;

const BATCH = 'batch:';
const NAMES = 'http, text, stdin, batch:FILE.jsonl, dyn://namespace.component.endpoint and none';

/**
 * The input for an engine.
 *
 * @throws `request.invalid` for `batch:` without a file and for an input that does not go with the engine,
 * `runtime.not_implemented` for one that is not offered
 */
export function inputOf(text: string, { worker }: Pick<EntrypointEngine, 'worker'>): Input {
  const input = parseInput(text);
  if (input.kind !== 'endpoint' || worker !== undefined) return input;
  throw new DynamoError(
    'request.invalid',
    `the input ${text} needs an engine of this process, and a dynamic one has its workers elsewhere; use http, text, stdin or batch:FILE.jsonl`,
  );
}

/** Whether requests of an input are made in this process. */
export function isPromptInput(input: Input): input is PromptInput {
  return input.kind === 'text' || input.kind === 'stdin' || input.kind === 'batch';
}

function parseInput(text: string): Input {
  if (text === 'http' || text === 'text' || text === 'stdin') return { kind: text };
  if (text === 'none') return { kind: 'endpoint', uri: undefined };
  if (text.startsWith('dyn://')) return { kind: 'endpoint', uri: text };
  if (text === BATCH || text === 'batch')
    throw new DynamoError('request.invalid', 'name the file of prompts: batch:FILE.jsonl');
  if (text.startsWith(BATCH)) return { kind: 'batch', path: text.slice(BATCH.length) };
  throw new DynamoError(
    'runtime.not_implemented',
    `there is no input "${text}"; there are ${NAMES}`,
  );
}
