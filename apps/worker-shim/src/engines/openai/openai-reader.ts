/** Reads the chunks of an OpenAI-compatible server's stream into responses. */
import { FinishReason } from '@dynamo-ts/protocol';

import { streamError } from '../../http/engine-http-error.ts';
import type { ServerSentEvent } from '../../http/event-stream-parser.ts';
import { arrayOf, numberOf, parseRecord, recordOf, stringOf } from '../../http/json-fields.ts';
import type { JsonRecord } from '../../http/json-fields.ts';
import type { AnswerReader, PartialResponse } from '../http-answers.ts';

/** What one entry of a chunk's `choices` carries besides its index and finish reason. */
type ChoiceReader = (choice: JsonRecord) => PartialResponse;

/** Settings of an {@link OpenAiReader}. */
export interface OpenAiReaderOptions {
  /** Named in errors. */
  readonly address: string;
  /** Choices that were asked for. */
  readonly choices: number;
  readonly readChoice: ChoiceReader;
  /** A stop without a stop reason is the end-of-sequence token; servers that give only text do not tell. */
  readonly stopMeansEos: boolean;
}

/**
 * One answer. The usage comes in a chunk of its own after the finish reasons, so the last response is held back until the
 * usage, `[DONE]` or the end of the stream.
 */
export class OpenAiReader implements AnswerReader {
  readonly #options: OpenAiReaderOptions;
  #unfinished: number;
  #last: PartialResponse | undefined;
  #done = false;

  constructor(options: OpenAiReaderOptions) {
    this.#options = options;
    this.#unfinished = options.choices;
  }

  isFinished(): boolean {
    return this.#done && this.#unfinished <= 0;
  }

  read(event: ServerSentEvent): readonly PartialResponse[] {
    if (event.data === '[DONE]') return this.end();
    const chunk = parseRecord(event.data);
    if (event.event === 'error' || (chunk['error'] ?? null) !== null) {
      throw streamError(this.#options.address, event.data);
    }
    const responses: PartialResponse[] = [];
    for (const choice of arrayOf(chunk['choices'])) this.#readChoice(recordOf(choice), responses);
    const usage = usageOf(chunk);
    if (usage === undefined || this.#unfinished > 0) return responses;
    return [...responses, ...this.#release(usage)];
  }

  end(): readonly PartialResponse[] {
    return this.#release(undefined);
  }

  #readChoice(choice: JsonRecord, responses: PartialResponse[]): void {
    const index = numberOf(choice['index']) ?? 0;
    const response = { index, ...this.#options.readChoice(choice) };
    const finishReason = this.#finishReasonOf(choice);
    if (finishReason === undefined) {
      if (Object.keys(response).length > 1) responses.push(response);
      return;
    }
    this.#unfinished -= 1;
    const stopReason = choice['stop_reason'];
    const finished = {
      ...response,
      finishReason,
      stopReason:
        typeof stopReason === 'string' || typeof stopReason === 'number' ? String(stopReason) : '',
    };
    if (this.#unfinished > 0) responses.push(finished);
    else this.#last = finished;
  }

  #finishReasonOf(choice: JsonRecord): FinishReason | undefined {
    switch (choice['finish_reason']) {
      case null:
      case undefined:
      case '':
        return undefined;
      case 'length':
        return FinishReason.FINISH_REASON_LENGTH;
      case 'content_filter':
        return FinishReason.FINISH_REASON_CONTENT_FILTER;
      case 'tool_calls':
      case 'function_call':
        return FinishReason.FINISH_REASON_TOOL_CALLS;
      case 'abort':
        return FinishReason.FINISH_REASON_CANCELLED;
      default:
        return this.#options.stopMeansEos && (choice['stop_reason'] ?? null) === null
          ? FinishReason.FINISH_REASON_EOS
          : FinishReason.FINISH_REASON_STOP;
    }
  }

  #release(usage: PartialResponse['usage']): readonly PartialResponse[] {
    if (this.#last === undefined) return [];
    const last = usage === undefined ? this.#last : { ...this.#last, usage };
    this.#last = undefined;
    this.#done = true;
    return [last];
  }
}

function usageOf(chunk: JsonRecord): PartialResponse['usage'] {
  const usage = recordOf(chunk['usage']);
  const promptTokens = numberOf(usage['prompt_tokens']);
  if (promptTokens === undefined) return undefined;
  return {
    promptTokens,
    completionTokens: numberOf(usage['completion_tokens']) ?? 0,
    cachedTokens: numberOf(recordOf(usage['prompt_tokens_details'])['cached_tokens']),
  };
}

/** The ids, probabilities and candidates of the legacy `logprobs` object, or of the chat form. */
export interface ReportedLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly top: readonly { readonly token: string; readonly logprob: number }[];
}

/** Reads a choice's `logprobs`, in the form of chat completions or of completions. */
export function readLogprobs(choice: JsonRecord): readonly ReportedLogprob[] {
  const logprobs = recordOf(choice['logprobs']);
  if (Array.isArray(logprobs['content'])) return arrayOf(logprobs['content']).map(chatLogprob);
  const tokens = arrayOf(logprobs['tokens']);
  const values = arrayOf(logprobs['token_logprobs']);
  const tops = arrayOf(logprobs['top_logprobs']);
  return tokens.map((token, position) => ({
    token: stringOf(token) ?? '',
    logprob: numberOf(values[position]) ?? 0,
    top: Object.entries(recordOf(tops[position])).map(([candidate, logprob]) => ({
      token: candidate,
      logprob: numberOf(logprob) ?? 0,
    })),
  }));
}

function chatLogprob(value: unknown): ReportedLogprob {
  const entry = recordOf(value);
  return {
    ...tokenAndLogprob(entry),
    top: arrayOf(entry['top_logprobs']).map((candidate) => tokenAndLogprob(recordOf(candidate))),
  };
}

function tokenAndLogprob(entry: JsonRecord): { token: string; logprob: number } {
  return { token: stringOf(entry['token']) ?? '', logprob: numberOf(entry['logprob']) ?? 0 };
}
