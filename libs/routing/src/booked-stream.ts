import { DynamoError, instanceIdHex, onAbort, systemClock, toDynamoError } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { Context, RawResponse } from '@dynamo-ts/runtime';

import type { AnswerEnd, AnswerMeter, AnswerReport } from './answer-meter.ts';
import type { Placement, RequestOutcome } from './placement-router.ts';

/** The answer of a worker that has begun to answer; read by one consumer. */
export interface DispatchedStream {
  /** The worker that answers. */
  readonly instanceId: InstanceId;
  /** Why it is that one, and what was expected of it. */
  readonly placement: Placement;
  /**
   * Items that arrived since the last call, waiting for at least one; undefined at the clean end. Each item is an
   * encoded `GenerateResponse`.
   *
   * @throws `transport.disconnected` and the like when the worker breaks, `backend.response_timeout` when it is silent
   */
  nextBatch(): Promise<readonly Uint8Array[] | undefined>;
  /** Tells what only a reader of the answer knows, before its end; later values replace earlier ones. */
  report(report: AnswerReport): void;
  /** Drops the rest and tells the worker. Idempotent. */
  cancel(): void;
}

/** What a {@link BookedStream} is made of. */
export interface BookedStreamOptions {
  readonly placement: Placement;
  readonly meter: AnswerMeter;
  readonly response: RawResponse;
  readonly context: Context;
  /** Longest silence in milliseconds; 0 = no limit. */
  readonly streamTimeoutMs: number;
  /** The worker was silent for too long. */
  readonly onTimeout: () => void;
  /** The answer ended, however it ended; called once. */
  readonly onEnd: (outcome: RequestOutcome) => void;
}

const COMPLETED = { kind: 'completed' } as const;
const INCOMPLETE = { kind: 'failed', errorCode: 'backend.stream_incomplete' } as const;

/** {@link DispatchedStream} that tells its owner exactly once when it has ended. */
export class BookedStream implements DispatchedStream {
  readonly instanceId: InstanceId;
  readonly placement: Placement;
  readonly #options: BookedStreamOptions;
  #offKill: () => void = () => undefined;
  #peeked: readonly Uint8Array[] | undefined;
  #hasBegun = false;
  #ended = false;

  constructor(options: BookedStreamOptions) {
    this.instanceId = options.placement.instanceId;
    this.placement = options.placement;
    this.#options = options;
    this.#offKill = onAbort(options.context.killed, () => {
      this.#end({ kind: 'cancelled' });
    });
  }

  /**
   * Waits for the first batch and keeps it for {@link nextBatch}.
   *
   * @throws `backend.stream_incomplete` when the answer ends without one
   */
  async peek(): Promise<void> {
    const first = await this.#read();
    if (first === undefined) {
      throw new DynamoError(
        'backend.stream_incomplete',
        `worker ${instanceIdHex(this.instanceId)} ended its answer before the first token`,
      );
    }
    this.#peeked = first;
  }

  nextBatch(): Promise<readonly Uint8Array[] | undefined> {
    const peeked = this.#peeked;
    if (peeked === undefined) return this.#read();
    this.#peeked = undefined;
    return Promise.resolve(peeked);
  }

  report(report: AnswerReport): void {
    this.#options.meter.report(report);
  }

  cancel(): void {
    this.#options.response.cancel();
    this.#end({ kind: 'cancelled' });
  }

  /** Runs for every batch of every answer: one function waits, not a chain of them. */
  async #read(): Promise<readonly Uint8Array[] | undefined> {
    const { response, streamTimeoutMs, meter } = this.#options;
    try {
      const batch = await (streamTimeoutMs > 0
        ? this.#nextOrTimeout(streamTimeoutMs)
        : response.nextBatch());
      if (batch === undefined) this.#end(this.#hasBegun ? COMPLETED : INCOMPLETE);
      else if (!this.#ended) meter.note(batch, systemClock.monotonicMs());
      this.#hasBegun = true;
      return batch;
    } catch (error) {
      this.#end({ kind: 'failed', errorCode: toDynamoError(error).code });
      throw error;
    }
  }

  async #nextOrTimeout(streamTimeoutMs: number): Promise<readonly Uint8Array[] | undefined> {
    const timer = setTimeout(() => {
      this.#giveUp(streamTimeoutMs);
    }, streamTimeoutMs);
    try {
      return await this.#options.response.nextBatch();
    } finally {
      clearTimeout(timer);
    }
  }

  #giveUp(silentMs: number): void {
    this.#options.onTimeout();
    this.#options.response.cancel(
      new DynamoError(
        'backend.response_timeout',
        `worker ${instanceIdHex(this.instanceId)} sent nothing for ${silentMs} ms`,
      ),
    );
  }

  #end(end: AnswerEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#offKill();
    this.#options.onEnd(this.#options.meter.outcome(end));
  }
}
