import { DynamoError, instanceIdHex, onAbort } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { Context, RawResponse } from '@dynamo-ts/runtime';

/** The answer of a worker that has begun to answer; read by one consumer. */
export interface DispatchedStream {
  /** The worker that answers. */
  readonly instanceId: InstanceId;
  /**
   * Items that arrived since the last call, waiting for at least one; undefined at the clean end. Each item is an
   * encoded `GenerateResponse`.
   *
   * @throws `transport.disconnected` and the like when the worker breaks, `backend.response_timeout` when it is silent
   */
  nextBatch(): Promise<readonly Uint8Array[] | undefined>;
  /** Drops the rest and tells the worker. Idempotent. */
  cancel(): void;
}

/** What a {@link BookedStream} is made of. */
export interface BookedStreamOptions {
  readonly instanceId: InstanceId;
  readonly response: RawResponse;
  readonly context: Context;
  /** Longest silence in milliseconds; 0 = no limit. */
  readonly streamTimeoutMs: number;
  /** The worker was silent for too long. */
  readonly onTimeout: () => void;
  /** The answer ended, however it ended; called once. */
  readonly onEnd: () => void;
}

/** {@link DispatchedStream} that tells its owner exactly once when it has ended. */
export class BookedStream implements DispatchedStream {
  readonly instanceId: InstanceId;
  readonly #options: BookedStreamOptions;
  #offKill: () => void = () => undefined;
  #peeked: readonly Uint8Array[] | undefined;
  #ended = false;

  constructor(options: BookedStreamOptions) {
    this.instanceId = options.instanceId;
    this.#options = options;
    this.#offKill = onAbort(options.context.killed, () => {
      this.#end();
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

  cancel(): void {
    this.#options.response.cancel();
    this.#end();
  }

  /** Runs for every batch of every answer: one function waits, not a chain of them. */
  async #read(): Promise<readonly Uint8Array[] | undefined> {
    const { response, streamTimeoutMs } = this.#options;
    try {
      const batch = await (streamTimeoutMs > 0
        ? this.#nextOrTimeout(streamTimeoutMs)
        : response.nextBatch());
      if (batch === undefined) this.#end();
      return batch;
    } catch (error) {
      this.#end();
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

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#offKill();
    this.#options.onEnd();
  }
}
