/**
 * Gives the prompt back: its ids without control tokens, up to `max_tokens`, one per delay. All answers share one timer,
 * so that thousands of them cost one wake-up per tick.
 */
import { DynamoError, onAbort } from '@dynamo-ts/base';
import { FinishReason, tokenIdsFromBytes, tokenIdsToBytes } from '@dynamo-ts/protocol';
import type { GenerateRequest } from '@dynamo-ts/protocol';
import type { Context } from '@dynamo-ts/runtime';

import { TOKEN_SPECIAL } from './engine.ts';
import type {
  Engine,
  EngineFacts,
  EngineLoad,
  EngineSink,
  EngineStartOptions,
  EngineVocabulary,
} from './engine.ts';
import type { EngineSleep } from './engine-sleep.ts';
import { LoadTracker } from './load-tracker.ts';
import type { LoadGuard } from './load-tracker.ts';
import { CANCELLED_RESPONSE, encodeResponse, encodeTokens } from './response-encoding.ts';
import { refuseUnsupported } from './unsupported.ts';

/** Settings of {@link EchoEngine}. */
export interface EchoEngineOptions {
  readonly vocabulary: EngineVocabulary;
  /** Time between two tokens; 0 gives the whole answer at once. */
  readonly tokenDelayMs: number;
  readonly contextLength: number;
  readonly blockSize: number;
}

interface Answer {
  readonly sink: EngineSink;
  readonly ids: Uint32Array;
  readonly promptTokens: number;
  readonly endsByLength: boolean;
  readonly guard: LoadGuard;
  readonly stopListening: () => void;
  readonly startedMs: number;
  sent: number;
}

/** The echo engine. */
export class EchoEngine implements Engine {
  readonly kind = 'echo';
  /** It holds nothing that it could give up. */
  readonly sleepMode: EngineSleep = {
    check: () => Promise.resolve(),
    sleep: () => Promise.resolve(),
    wake: () => Promise.resolve(),
  };
  readonly #options: EchoEngineOptions;
  readonly #answers = new Set<Answer>();
  #load: LoadTracker | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: EchoEngineOptions) {
    this.#options = options;
  }

  start({ host }: EngineStartOptions): Promise<EngineFacts> {
    const { blockSize, contextLength } = this.#options;
    this.#load = new LoadTracker({
      blockSize,
      totalKvBlocks: 0,
      maxSeqs: 0,
      dataParallelSize: 1,
      host,
    });
    return Promise.resolve({
      modelNames: ['echo'],
      input: 'tokens',
      contextLength,
      blockSize,
      totalKvBlocks: 0,
      maxSeqs: 0,
      maxBatchedTokens: 0,
      dataParallelSize: 1,
    });
  }

  generate(request: GenerateRequest, sink: EngineSink, context: Context): void {
    if (this.#load === undefined) throw stopping();
    refuse(request);
    const prompt = tokenIdsFromBytes(request.tokenIdsLe);
    const { flags } = this.#options.vocabulary;
    const text = prompt.filter((id) => ((flags[id] ?? 0) & TOKEN_SPECIAL) === 0);
    const ids = text.subarray(0, request.stopConditions?.maxTokens ?? text.length);
    const answer: Answer = {
      sink,
      ids,
      promptTokens: prompt.length,
      endsByLength: ids.length < text.length,
      guard: this.#load.begin(prompt.length),
      stopListening: onAbort(context.stopped, () => {
        this.#end(answer, CANCELLED_RESPONSE);
        sink.released?.();
      }),
      startedMs: performance.now(),
      sent: 0,
    };
    if (context.isStopped()) return;
    this.#answers.add(answer);
    this.#send(answer, performance.now());
    this.#schedule();
  }

  load(): readonly EngineLoad[] {
    return this.#load?.snapshot() ?? [];
  }

  close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const answer of this.#answers) {
      this.#forget(answer);
      answer.sink.fail(stopping());
    }
    this.#load = undefined;
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#answers.size === 0) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const nowMs = performance.now();
        for (const answer of this.#answers) this.#send(answer, nowMs);
        this.#schedule();
      },
      Math.max(1, this.#options.tokenDelayMs / 2),
    );
  }

  /** Sends the tokens that are due: the k-th one k delays after the start. */
  #send(answer: Answer, nowMs: number): void {
    const { tokenDelayMs } = this.#options;
    const { ids, sink, startedMs } = answer;
    const due =
      tokenDelayMs === 0
        ? ids.length
        : Math.min(ids.length, Math.floor((nowMs - startedMs) / tokenDelayMs));
    if (due > answer.sent) {
      sink.write(encodeTokens(ids.subarray(answer.sent, due)));
      answer.guard.addTokens(due - answer.sent);
      answer.sent = due;
    }
    if (due === ids.length) this.#end(answer, lastResponse(answer));
  }

  #end(answer: Answer, last: Uint8Array): void {
    this.#forget(answer);
    answer.sink.write(last);
    answer.sink.end();
  }

  #forget(answer: Answer): void {
    this.#answers.delete(answer);
    answer.stopListening();
    answer.guard.release();
  }
}

function refuse(request: GenerateRequest): void {
  refuseUnsupported('echo', [
    ['text input', request.textInput !== undefined],
    ['several choices (n > 1)', (request.samplingOptions?.n ?? 1) > 1],
    ['logprobs', request.outputOptions?.logprobs !== undefined],
    ['prompt_logprobs', request.outputOptions?.promptLogprobs !== undefined],
    ['guided decoding', request.samplingOptions?.guidedDecoding !== undefined],
  ]);
}

function lastResponse({ endsByLength, ids, promptTokens }: Answer): Uint8Array {
  return encodeResponse({
    tokenIdsLe: tokenIdsToBytes(new Uint32Array()),
    finishReason: endsByLength ? FinishReason.FINISH_REASON_LENGTH : FinishReason.FINISH_REASON_EOS,
    usage: { promptTokens, completionTokens: ids.length },
  });
}

function stopping(): DynamoError {
  return new DynamoError('backend.engine_shutdown', 'the engine is stopping');
}
