/** Collects one choice for a response that is not streamed. */
import type { ChoiceFold } from '@dynamo-ts/openai';
import type { DecodedDelta } from '@dynamo-ts/preprocess';
import type { GenerateResponse } from '@dynamo-ts/protocol';

import type { RequestRecord } from '../request-record.ts';
import { finishOf } from './answer.ts';
import type { ChoiceSink } from './choice-reader.ts';

/** What a {@link FoldSink} needs. */
export interface FoldSinkOptions {
  readonly fold: ChoiceFold;
  readonly record: RequestRecord;
  /** Told about the delta that ended the choice. */
  readonly onFinish: (delta: DecodedDelta) => void;
}

/** {@link ChoiceSink} of a choice that is answered as a whole. */
export class FoldSink implements ChoiceSink {
  readonly #options: FoldSinkOptions;

  constructor(options: FoldSinkOptions) {
    this.#options = options;
  }

  delta(delta: DecodedDelta, message: GenerateResponse): void {
    const { fold, onFinish } = this.#options;
    if (message.deltaJson.length > 0) fold.addDelta(Buffer.from(message.deltaJson).toString());
    else fold.add(delta.text);
    if (delta.logprobs !== undefined) fold.logprobs.push(...delta.logprobs);
    if (delta.finishReason === undefined) return;
    fold.finish = finishOf(delta.finishReason);
    onFinish(delta);
  }

  flush(tokens: number): undefined {
    this.#options.record.tokens(tokens, performance.now());
  }
}
