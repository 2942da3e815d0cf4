/** Reads llama-server's `/completion` stream into responses (frames as recorded from llama.cpp 2026-11). */
import { FinishReason, TokenLogprob, tokenIdsToBytes } from '@dynamo-ts/protocol';

import { streamError } from '../../http/engine-http-error.ts';
import type { ServerSentEvent } from '../../http/event-stream-parser.ts';
import { arrayOf, numberOf, parseRecord, recordOf, stringOf } from '../../http/json-fields.ts';
import type { JsonRecord } from '../../http/json-fields.ts';
import type { AnswerReader, PartialResponse } from '../http-answers.ts';
import type { MissingTokenFinder } from './missing-token-finder.ts';

/** Settings of a {@link LlamaServerReader}. */
export interface LlamaServerReaderOptions {
  /** Named in errors. */
  readonly address: string;
  /** Choices that were asked for. */
  readonly choices: number;
  /** Most tokens per choice; undefined without limit. */
  readonly maxTokens: number | undefined;
  /** Entries per token wanted in `top`; undefined when no logprobs were asked for. */
  readonly topLogprobs: number | undefined;
  /** Recovers ids that the stream leaves out. */
  readonly missingTokens: MissingTokenFinder;
}

/**
 * One answer of llama-server.
 *
 * A token without text, such as the end of sequence, and the last one of the limit are held back until the next frame:
 * that is mostly the last one, and a frontend that sees the end in the tokens must get the usage with them.
 */
export class LlamaServerReader implements AnswerReader {
  readonly #options: LlamaServerReaderOptions;
  readonly #tokensSeen: number[];
  readonly #held = new Map<number, PartialResponse>();
  #unfinished: number;

  constructor(options: LlamaServerReaderOptions) {
    this.#options = options;
    this.#unfinished = options.choices;
    this.#tokensSeen = Array.from({ length: options.choices }, () => 0);
  }

  isFinished(): boolean {
    return this.#unfinished === 0;
  }

  read(event: ServerSentEvent): readonly PartialResponse[] {
    const frame = parseRecord(event.data);
    if (event.event === 'error' || frame['error'] !== undefined) {
      throw streamError(this.#options.address, event.data);
    }
    const index = numberOf(frame['index']) ?? 0;
    const held = this.#held.get(index);
    this.#held.delete(index);
    if (frame['stop'] === true) return [{ ...held, ...this.#readLastFrame(frame, index) }];
    const response = this.#readFrame(frame, index);
    if (response !== undefined && this.#mayBeLast(frame)) this.#held.set(index, response);
    else if (response !== undefined) return held === undefined ? [response] : [held, response];
    return held === undefined ? [] : [held];
  }

  end(): readonly PartialResponse[] {
    return [...this.#held.values()];
  }

  #mayBeLast(frame: JsonRecord): boolean {
    const { maxTokens = Number.POSITIVE_INFINITY } = this.#options;
    return frame['content'] === '' || (numberOf(frame['tokens_predicted']) ?? 0) >= maxTokens;
  }

  #readLastFrame(frame: JsonRecord, index: number): PartialResponse {
    this.#unfinished -= 1;
    const completionTokens = numberOf(frame['tokens_predicted']) ?? 0;
    return { index, finishReason: finishReasonOf(frame), usage: usageOf(frame, completionTokens) };
  }

  #readFrame(frame: JsonRecord, index: number): PartialResponse | undefined {
    const visible = arrayOf(frame['tokens']).filter((id) => typeof id === 'number');
    const predicted = numberOf(frame['tokens_predicted']) ?? 0;
    const [lastId] = visible.slice(-1);
    if (lastId === undefined) return undefined;
    const missing = predicted - (this.#tokensSeen[index] ?? 0) - visible.length;
    this.#tokensSeen[index] = predicted;
    const content = stringOf(frame['content']) ?? '';
    const found =
      missing > 0
        ? this.#options.missingTokens.find(content, lastId, missing + visible.length - 1)
        : [];
    const ids = found === undefined ? visible : missing > 0 ? [...found, lastId] : visible;
    return {
      index,
      tokenIdsLe: tokenIdsToBytes(Uint32Array.from(ids)),
      // Without the ids the frontend cannot make the text itself.
      ...(found === undefined ? { text: content } : {}),
      ...this.#logprobs(frame, ids),
    };
  }

  /** llama-server reports no probability for the ids that it leaves out; they count as certain, so that sums stay right. */
  #logprobs(frame: JsonRecord, ids: readonly number[]): Pick<PartialResponse, 'logprobs'> {
    const { topLogprobs } = this.#options;
    if (topLogprobs === undefined) return {};
    const reported = arrayOf(frame['completion_probabilities']).map(recordOf);
    const unreported = ids.slice(0, Math.max(0, ids.length - reported.length));
    const unknown = unreported.map((tokenId) => TokenLogprob.fromPartial({ tokenId }));
    return { logprobs: [...unknown, ...reported.map((entry) => logprobOf(entry, topLogprobs))] };
  }
}

function logprobOf(entry: JsonRecord, topLogprobs: number): TokenLogprob {
  const top = arrayOf(entry['top_logprobs']).slice(0, topLogprobs).map(recordOf);
  return {
    ...idAndLogprob(entry),
    top: top.map((candidate) => ({ ...idAndLogprob(candidate), token: '' })),
    token: '',
  };
}

function idAndLogprob(entry: JsonRecord): { tokenId: number; logprob: number } {
  return { tokenId: numberOf(entry['id']) ?? 0, logprob: numberOf(entry['logprob']) ?? 0 };
}

function finishReasonOf(frame: JsonRecord): FinishReason {
  switch (frame['stop_type']) {
    case 'eos':
      return FinishReason.FINISH_REASON_EOS;
    case 'word':
      return FinishReason.FINISH_REASON_STOP;
    default:
      return FinishReason.FINISH_REASON_LENGTH;
  }
}

function usageOf(
  frame: JsonRecord,
  completionTokens: number,
): NonNullable<PartialResponse['usage']> {
  return {
    promptTokens: numberOf(frame['tokens_evaluated']) ?? 0,
    completionTokens,
    cachedTokens: numberOf(recordOf(frame['timings'])['cache_n']),
  };
}
