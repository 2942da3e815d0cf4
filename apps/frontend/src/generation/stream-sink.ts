/** Writes one choice as server-sent events: one event per token, one write per batch. */
import { sseAnnotation } from '@dynamo-ts/openai';
import type { ChoiceChunks, LogprobFormatter, ResponseKind, UsageCounts } from '@dynamo-ts/openai';
import type { DecodedDelta, PreparedPrompt } from '@dynamo-ts/preprocess';
import type { GenerateResponse, TokenLogprob } from '@dynamo-ts/protocol';

import type { SseWriter } from '../http/sse-writer.ts';
import type { RequestRecord } from '../request-record.ts';
import { finishOf } from './answer.ts';
import type { ChoiceSink } from './choice-reader.ts';

/** What a {@link StreamSink} needs. */
export interface StreamSinkOptions {
  readonly kind: ResponseKind;
  readonly writer: SseWriter;
  readonly chunks: ChoiceChunks;
  readonly record: RequestRecord;
  /** Set when the client asked for log probabilities. */
  readonly logprobs: LogprobFormatter | undefined;
  /** Extension values of the last chunk. */
  readonly nvext: (delta: DecodedDelta) => unknown;
  /** Prompt tokens, when the client wants the usage so far in every chunk. */
  readonly continuousUsage: number | undefined;
  /** The prompt, when the client wants an `llm_metrics` annotation with every write. */
  readonly metricsOf: Pick<PreparedPrompt, 'tokenIds'> | undefined;
  /** Sent before the first token: annotations, the echoed prompt. */
  readonly preamble: string;
}

/** {@link ChoiceSink} of a streamed choice. */
export class StreamSink implements ChoiceSink {
  readonly #options: StreamSinkOptions;
  readonly #writer: SseWriter;
  readonly #chunks: ChoiceChunks;
  #pending: string;
  #writtenTokens = 0;
  #cachedTokens: number | undefined;
  /** Tokens of the chunks so far; counted only for {@link StreamSinkOptions.continuousUsage}. */
  #tokens = 0;
  /** Log probabilities of tokens whose text is not complete yet. */
  #heldLogprobs: TokenLogprob[] = [];

  constructor(options: StreamSinkOptions) {
    this.#options = options;
    this.#writer = options.writer;
    this.#chunks = options.chunks;
    this.#pending = options.preamble;
  }

  delta(delta: DecodedDelta, message: GenerateResponse): void {
    this.#cachedTokens = message.usage?.cachedTokens ?? this.#cachedTokens;
    const isPlain =
      delta.finishReason === undefined &&
      this.#options.logprobs === undefined &&
      this.#options.continuousUsage === undefined &&
      message.deltaJson.length === 0;
    if (!isPlain) {
      this.#rich(delta, message);
      return;
    }
    for (const piece of delta.pieces) {
      if (piece !== '') this.#pending += this.#chunks.text(piece);
    }
  }

  flush(tokens: number): Promise<void> | undefined {
    const nowMs = performance.now();
    this.#options.record.tokens(tokens, nowMs);
    const text = this.#pending + this.#llmMetrics(tokens);
    if (text === '') return undefined;
    this.#pending = '';
    return this.#writer.write(text, nowMs) ? undefined : this.#writer.drained();
  }

  /** Counts of this write and so far, under the reference's names. */
  #llmMetrics(tokens: number): string {
    const prompt = this.#options.metricsOf;
    if (prompt === undefined || tokens === 0) return '';
    this.#writtenTokens += tokens;
    const counts = {
      input_tokens: prompt.tokenIds.length,
      output_tokens: this.#writtenTokens,
      chunk_tokens: tokens,
      cached_tokens: this.#cachedTokens,
    };
    return sseAnnotation('llm_metrics', counts);
  }

  /** Anything beyond text: a finish reason, log probabilities, a ready-made delta. */
  #rich(delta: DecodedDelta, message: GenerateResponse): void {
    if (message.deltaJson.length > 0) {
      this.#pending += this.#chunks.chunk({
        text: '',
        deltaJson: Buffer.from(message.deltaJson).toString(),
        ...this.#ending(delta),
      });
      return;
    }
    const pieces = delta.pieces.length === 0 ? [''] : delta.pieces;
    for (const [index, text] of pieces.entries()) {
      const isLast = index === pieces.length - 1;
      this.#tokens += delta.tokenCount > 0 ? 1 : 0;
      const ending = isLast ? this.#ending(delta) : {};
      const logprobs = this.#logprobs(delta.logprobs?.[index], text !== '' || 'finish' in ending);
      if (text === '' && !('finish' in ending) && logprobs === undefined) continue;
      this.#pending += this.#chunks.chunk({ text, logprobs, usage: this.#usage(), ...ending });
    }
  }

  #usage(): UsageCounts | undefined {
    const promptTokens = this.#options.continuousUsage;
    if (promptTokens === undefined) return undefined;
    return { promptTokens, completionTokens: this.#tokens };
  }

  #ending(delta: DecodedDelta): { finish?: ReturnType<typeof finishOf>; nvext?: unknown } {
    if (delta.finishReason === undefined) return {};
    return { finish: finishOf(delta.finishReason), nvext: this.#options.nvext(delta) };
  }

  #logprobs(entry: TokenLogprob | undefined, isSent: boolean): unknown {
    const { logprobs: formatter, kind } = this.#options;
    if (formatter === undefined) return undefined;
    if (entry !== undefined) this.#heldLogprobs.push(entry);
    if (!isSent || this.#heldLogprobs.length === 0) return undefined;
    const entries = this.#heldLogprobs;
    this.#heldLogprobs = [];
    return kind === 'chat' ? { content: formatter.chat(entries) } : formatter.completion(entries);
  }
}
