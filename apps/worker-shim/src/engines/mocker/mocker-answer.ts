/**
 * One request of the mocker, from its first token to its end.
 *
 * Tokens go to the sink in the tick in which they come. Without credit they are held, merged, and sent in one message
 * when there is credit again; what is held is bounded by the answer's length.
 */
import { DynamoError, onAbort } from '@dynamo-ts/base';
import { FinishReason, tokenIdsToBytes } from '@dynamo-ts/protocol';
import type { TokenLogprob } from '@dynamo-ts/protocol';
import type { Context, ResponseSink } from '@dynamo-ts/runtime';
import type { MockHandle, MockOutput, MockReceiver, MockRejection } from '@dynamo-ts/sim';

import { encodeTokenRange } from './mocker-encoding.ts';
import { mockLogprob } from './mocker-logprobs.ts';
import { encodeResponse } from '../response-encoding.ts';

/** Settings of one {@link MockerAnswer}. */
export interface MockerAnswerOptions {
  readonly sink: ResponseSink;
  readonly promptTokens: number;
  /** Number of likeliest tokens to list per token; undefined when no log probabilities were asked for. */
  readonly logprobs: number | undefined;
  /** What the mocker generates from. */
  readonly vocabulary: Uint32Array;
  /** The answer is over, one way or the other. */
  readonly onEnd: (answer: MockerAnswer) => void;
  /** The engine has confirmed that it gave the request up. */
  readonly onAborted: (abortMs: number) => void;
}

/** Writes one request's tokens to its sink. */
export class MockerAnswer implements MockReceiver {
  readonly #options: MockerAnswerOptions;
  #handle: MockHandle | undefined;
  #stopListening: () => void = () => undefined;
  #state: 'flowing' | 'held' | 'ended' = 'flowing';
  #held: Uint32Array[] = [];
  #generated = 0;
  #stoppedAtMs = 0;

  constructor(options: MockerAnswerOptions) {
    this.#options = options;
  }

  /** Gives the request up when its context stops. */
  follow(handle: MockHandle, context: Context): void {
    this.#handle = handle;
    this.#stopListening = onAbort(context.stopped, () => {
      this.#stop();
    });
    if (this.#state === 'ended') this.#stopListening();
  }

  onOutput(output: MockOutput): void {
    if (output.finish !== FinishReason.FINISH_REASON_UNSPECIFIED) {
      this.#finish(output);
      return;
    }
    if (this.#state === 'ended') return;
    this.#generated += output.end - output.start;
    if (this.#state === 'held') {
      this.#held.push(output.tokenIds.slice(output.start, output.end));
      return;
    }
    if (!this.#options.sink.write(this.#encode(output))) this.#hold();
  }

  /** Ends the answer with an error. */
  fail(error: DynamoError): void {
    if (this.#state === 'ended') return;
    this.#end();
    this.#options.sink.fail(error);
  }

  #encode(output: MockOutput): Uint8Array {
    const { end, start, tokenIds } = output;
    const isFirst = this.#generated === end - start;
    if (isFirst) return this.#encodeFirst(output);
    if (this.#options.logprobs === undefined) return encodeTokenRange(tokenIds, start, end);
    return this.#encodeWithLogprobs(tokenIds.slice(start, end));
  }

  /** The first message counts already: a caller that cuts the answer sees no last one. */
  #encodeFirst({ end, start, tokenIds, cachedTokens }: MockOutput): Uint8Array {
    const ids = tokenIds.slice(start, end);
    return encodeResponse({
      tokenIdsLe: tokenIdsToBytes(ids),
      logprobs: this.#logprobsOf(ids),
      usage: {
        promptTokens: this.#options.promptTokens,
        completionTokens: this.#generated,
        cachedTokens,
      },
    });
  }

  #encodeWithLogprobs(ids: Uint32Array): Uint8Array {
    return encodeResponse({ tokenIdsLe: tokenIdsToBytes(ids), logprobs: this.#logprobsOf(ids) });
  }

  #logprobsOf(ids: Uint32Array): TokenLogprob[] {
    const { logprobs, vocabulary } = this.#options;
    if (logprobs === undefined) return [];
    return Array.from(ids, (id) => mockLogprob(id, vocabulary, logprobs));
  }

  #hold(): void {
    this.#state = 'held';
    void this.#options.sink.drained().then(() => {
      this.#resume();
    });
  }

  #resume(): void {
    if (this.#state !== 'held') return;
    this.#state = 'flowing';
    const ids = this.#takeHeld();
    if (ids.length === 0) return;
    const message =
      this.#options.logprobs === undefined
        ? encodeTokenRange(ids, 0, ids.length)
        : this.#encodeWithLogprobs(ids);
    if (!this.#options.sink.write(message)) this.#hold();
  }

  #finish(output: MockOutput): void {
    if (this.#state === 'ended') {
      if (this.#stoppedAtMs > 0) this.#options.onAborted(performance.now() - this.#stoppedAtMs);
      return;
    }
    if (output.finish === FinishReason.FINISH_REASON_ERROR) {
      this.fail(rejectionError(output.rejection, this.#options.promptTokens));
      return;
    }
    this.#generated += output.end - output.start;
    this.#held.push(output.tokenIds.slice(output.start, output.end));
    this.#sendLast(output.finish, output);
  }

  /** Sends what is held together with the end: one message more than there is credit for. */
  #sendLast(finishReason: FinishReason, output?: MockOutput): void {
    const ids = this.#takeHeld();
    const { promptTokens, sink } = this.#options;
    this.#end();
    sink.write(
      encodeResponse({
        tokenIdsLe: tokenIdsToBytes(ids),
        logprobs: this.#logprobsOf(ids),
        finishReason,
        usage: {
          promptTokens,
          completionTokens: this.#generated,
          cachedTokens: output?.cachedTokens,
        },
        dpRank: output?.dpRank,
      }),
    );
    sink.end();
  }

  #stop(): void {
    if (this.#state === 'ended') return;
    this.#stoppedAtMs = performance.now();
    this.#handle?.cancel();
    this.#sendLast(FinishReason.FINISH_REASON_CANCELLED);
  }

  #end(): void {
    this.#state = 'ended';
    this.#stopListening();
    this.#options.onEnd(this);
  }

  #takeHeld(): Uint32Array {
    const held = this.#held;
    this.#held = [];
    const [first] = held;
    if (held.length === 1 && first !== undefined) return first;
    const ids = new Uint32Array(held.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of held) {
      ids.set(part, at);
      at += part.length;
    }
    return ids;
  }
}

function rejectionError(rejection: MockRejection | undefined, promptTokens: number): DynamoError {
  switch (rejection) {
    case 'empty-prompt':
      return new DynamoError('request.invalid', 'the prompt has no tokens');
    case 'prompt-too-long':
      return new DynamoError(
        'request.context_length',
        `the prompt of ${promptTokens} tokens does not fit the engine's cache`,
      );
    case 'prompt-exceeds-pass':
      return new DynamoError(
        'request.context_length',
        `the prompt of ${promptTokens} tokens does not fit one step, and chunked prefill is off`,
      );
    case 'unknown-rank':
      return new DynamoError('request.invalid', 'the engine has no such data-parallel rank');
    case 'duplicate-id':
    case 'engine-failed':
    case undefined:
      return new DynamoError('backend.engine_shutdown', 'the engine has stopped');
  }
}
