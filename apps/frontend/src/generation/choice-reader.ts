/**
 * Reads one choice from its worker to its end, a batch at a time: what arrived together is decoded together and handed on
 * together. There is one await per batch and none per token.
 */
import { DynamoError } from '@dynamo-ts/base';
import type { ChoiceDecoder, DecodedDelta } from '@dynamo-ts/preprocess';
import { GenerateResponse } from '@dynamo-ts/protocol';
import type { Usage } from '@dynamo-ts/protocol';
import type { DispatchedStream } from '@dynamo-ts/routing';

/** Takes what a choice produces. */
export interface ChoiceSink {
  /** One message of the engine, decoded. */
  delta(delta: DecodedDelta, message: GenerateResponse): void;
  /** The batch is complete. @returns what to wait for before the next one is read */
  flush(tokens: number): Promise<void> | undefined;
}

/** How a choice ended. */
export interface ChoiceResult {
  readonly completionTokens: number;
  /** What the engine counted; on its last message. */
  readonly engineUsage: Usage | undefined;
}

/** What {@link readChoice} needs. */
export interface ReadChoiceOptions {
  readonly stream: DispatchedStream;
  readonly decoder: ChoiceDecoder;
  readonly sink: ChoiceSink;
}

/**
 * Reads until the choice has ended; leaves nothing open, however it ends.
 *
 * @throws the worker's error, `backend.stream_incomplete` when it ended without a finish reason
 */
export async function readChoice({
  stream,
  decoder,
  sink,
}: ReadChoiceOptions): Promise<ChoiceResult> {
  let engineUsage: Usage | undefined;
  let cutHere = false;
  let isOpen = true;
  try {
    for (;;) {
      const batch = await stream.nextBatch();
      if (batch === undefined) {
        isOpen = false;
        break;
      }
      const before = decoder.generatedTokens;
      for (const item of batch) {
        const message = GenerateResponse.decode(item);
        engineUsage = message.usage ?? engineUsage;
        if (decoder.finished) continue;
        const delta = decoder.push(message);
        if (delta.finishReason === 'error') throw engineError(message);
        sink.delta(delta, message);
        cutHere ||= delta.stopEngine;
      }
      const wait = sink.flush(decoder.generatedTokens - before);
      if (wait !== undefined) await wait;
      if (cutHere) break;
    }
    if (!decoder.finished) {
      throw new DynamoError(
        'backend.stream_incomplete',
        'the answer ended without a finish reason',
      );
    }
    return { completionTokens: decoder.generatedTokens, engineUsage };
  } finally {
    if (isOpen) stream.cancel();
  }
}

function engineError(message: GenerateResponse): DynamoError {
  return new DynamoError('backend.error', message.error === '' ? 'engine failure' : message.error);
}
