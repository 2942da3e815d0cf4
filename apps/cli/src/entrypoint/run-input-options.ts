import type { Readable } from 'node:stream';

import type { DistributedRuntime } from '@dynamo-ts/runtime';

import type { EntrypointEngine } from './make-engine.ts';

/** Where prompts come from and answers go. */
export interface InputStreams {
  /** Destroyed when it is still read when the signal comes. */
  readonly input: Readable & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream;
}

/** Parameters of {@link runInput}. */
export interface RunInputOptions {
  readonly runtime: DistributedRuntime;
  /**
   * `http`: an OpenAI-compatible server. `text`: a conversation on the terminal, or as `stdin` when nobody types there.
   * `stdin`: one prompt. `batch:FILE.jsonl`: lines `{"text": "…"}`, answered into `output.jsonl` beside the file.
   * `dyn://namespace.component.endpoint`: a worker at that endpoint. `none`: a worker at its default endpoint.
   */
  readonly input: string;
  readonly engine: EntrypointEngine;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Told when requests are taken. */
  readonly onReady?: (ready: ReadyInput) => void;
  /** For `text`, `stdin` and `batch`. @default stdin and stdout of the process */
  readonly streams?: InputStreams | undefined;
  /** Longest answer to a prompt of `text`, `stdin` and `batch`. @default 8192 */
  readonly maxTokens?: number | undefined;
}

/** An input that takes requests. */
export interface ReadyInput {
  /** `http://host:port`; undefined when the input is no server. */
  readonly url: string | undefined;
}
