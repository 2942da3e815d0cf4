/**
 * Reads one choice from its worker to its end, a batch at a time: what arrived together is decoded together and handed on
 * together. There is one await per batch and none per token.
 */
import { DynamoError } from '@dynamo-ts/base';
import type { ChoiceDecoder, DecodedDelta } from '@dynamo-ts/preprocess';
import type { GenerateResponse, Usage } from '@dynamo-ts/protocol';

/** Takes what a choice produces. */
export interface ChoiceSink {
  /** One message of the engine, decoded. */
  delta(delta: DecodedDelta, message: GenerateResponse): void;
  /** The batch is complete. @returns what to wait for before the next one is read */
  flush(tokens: number): Promise<void> | undefined;
}

/** Where a choice comes from. */
export interface ChoiceSource {
  /** Messages that arrived since the last call, waiting for at least one; undefined at the end. */
  nextBatch(): Promise<readonly GenerateResponse[] | undefined>;
  /** Drops the rest. Idempotent. */
  cancel(): void;
}

/** How a choice ended. */
export interface ChoiceResult {
  readonly completionTokens: number;
  /** What the engine counted; on its last message. */
  readonly engineUsage: Usage | undefined;
}

/** What {@link readChoice} needs. */
export interface ReadChoiceOptions {
  readonly stream: ChoiceSource;
  readonly decoder: ChoiceDecoder;
  readonly sink: ChoiceSink;
  /** What turning ids into text has cost; told once, at the end. */
  readonly onDecoded?: (cost: DecodingCost) => void;
}

/** Work of a choice's decoder. */
export interface DecodingCost {
  readonly ms: number;
  readonly messages: number;
  readonly tokens: number;
}

/**
 * Reads until the choice has ended; leaves nothing open, however it ends.
 *
 * @throws the source's error, `backend.error` when the engine failed
 */
export async function readChoice({
  stream,
  decoder,
  sink,
  onDecoded,
}: ReadChoiceOptions): Promise<ChoiceResult> {
  let decodingMs = 0;
  let messages = 0;
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
      for (const message of batch) {
        engineUsage = message.usage ?? engineUsage;
        if (decoder.finished) continue;
        const startMs = performance.now();
        const delta = decoder.push(message);
        decodingMs += performance.now() - startMs;
        messages += 1;
        if (delta.finishReason === 'error') throw engineError(message);
        sink.delta(delta, message);
        cutHere ||= delta.stopEngine;
      }
      const wait = sink.flush(decoder.generatedTokens - before);
      if (wait !== undefined) await wait;
      if (cutHere) break;
    }
    return { completionTokens: decoder.generatedTokens, engineUsage };
  } finally {
    if (isOpen) stream.cancel();
    onDecoded?.({ ms: decodingMs, messages, tokens: decoder.generatedTokens });
  }
}

function engineError(message: GenerateResponse): DynamoError {
  return new DynamoError('backend.error', message.error === '' ? 'engine failure' : message.error);
}
