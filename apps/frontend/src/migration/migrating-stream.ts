/**
 * The answer to one choice, whichever workers give it.
 *
 * It sits between the dispatcher and the decoder. When the worker breaks in mid-answer, the rest is asked of another one:
 * same request id, prompt plus the ids received so far (RF 2.2). The reader sees one stream of decoded messages in which
 * nothing is missing and nothing comes twice; text state lives above and is not touched. What a worker fails before its
 * first token is the dispatcher's to retry and does not count against the limit.
 */
import { DynamoError, systemClock } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import { GenerateRequest, GenerateResponse, tokenIdsFromBytes } from '@dynamo-ts/protocol';
import type { DispatchRequest, DispatchedStream, Placement } from '@dynamo-ts/routing';

import type { Dispatches } from '../models/served-model.ts';
import { dispatchAgain, isFailure, isRetryable } from './dispatch-again.ts';
import type { MigrationObstacle, MigrationOutcome, MigrationReport } from './migration-report.ts';
import type { MigrationSettings } from './migration-settings.ts';
import { replayRequest, requestObstacle } from './replay-request.ts';
import { TokenLog } from './token-log.ts';

/** Greatest strict priority that the router takes (u32). */
const MOST_STRICT = 0xffff_ffff;

/** What a {@link MigratingStream} is made of. */
export interface MigratingStreamOptions extends MigrationSettings {
  readonly dispatcher: Pick<Dispatches, 'dispatch'>;
  readonly request: Omit<DispatchRequest, 'excluded' | 'onRetry'>;
  /** Local hashes of a prompt's complete blocks. */
  readonly blockHashesOf: (tokenIds: Uint32Array) => BigUint64Array;
  /** Instances that must not take the request whatever happens, as they are now. */
  readonly excluded: () => readonly InstanceId[];
  /** Whether the reader has seen the answer's end: what breaks after it does not matter. */
  readonly isComplete: () => boolean;
  readonly report: MigrationReport;
  readonly clock?: Clock | undefined;
}

/** One answer. */
export class MigratingStream {
  readonly #options: MigratingStreamOptions;
  readonly #clock: Clock;
  /** Workers that broke this answer. */
  readonly #failed = new Set<InstanceId>();
  #moves = 0;
  #stream: DispatchedStream;
  #received: TokenLog | undefined;
  #obstacle: MigrationObstacle | undefined;
  /** Tokens that the present worker was given as part of its prompt. */
  #carried = 0;

  private constructor(options: MigratingStreamOptions, stream: DispatchedStream) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#stream = stream;
    if (options.limit === 0) this.#obstacle = 'disabled';
    else if (options.request.pinned !== undefined) this.#obstacle = 'pinned';
    else this.#received = new TokenLog();
    this.#checkLength();
  }

  /** Resolves when a worker has begun to answer. @throws what {@link Dispatches.dispatch} throws */
  static async open(options: MigratingStreamOptions): Promise<MigratingStream> {
    const { dispatcher, request, report, excluded, clock = systemClock } = options;
    let firstFailureMs: number | undefined;
    const onRetry = (): void => {
      firstFailureMs ??= clock.monotonicMs();
      report.began('new_request');
    };
    const ended = (outcome: MigrationOutcome): void => {
      if (firstFailureMs === undefined) return;
      report.ended('new_request', outcome, clock.monotonicMs() - firstFailureMs);
    };
    try {
      const stream = await dispatcher
        .dispatch({ ...request, excluded: excluded(), onRetry })
        .catch((cause: unknown) => {
          // Nobody to ask, or all at capacity: that is the client's to know at once.
          const isBroken = isRetryable(cause) && isFailure(cause);
          if (!isBroken || request.context.isStopped()) throw cause;
          return dispatchAgain({
            ...options,
            request: { ...request, onRetry },
            broke: new Set(),
            cause,
            isTried: true,
            clock,
          });
        });
      ended('success');
      return new MigratingStream(options, stream);
    } catch (error) {
      ended(request.context.isStopped() ? 'cancelled' : 'failure');
      throw error;
    }
  }

  /** The worker that answers now. */
  get instanceId(): InstanceId {
    return this.#stream.instanceId;
  }

  /** Why it is that one. */
  get placement(): Placement {
    return this.#stream.placement;
  }

  /**
   * Messages that arrived since the last call, waiting for at least one; undefined at the end.
   *
   * @throws the worker's error when the answer cannot go on, `backend.stream_incomplete` when it ended too early
   */
  async nextBatch(): Promise<readonly GenerateResponse[] | undefined> {
    for (;;) {
      try {
        const batch = await this.#stream.nextBatch();
        if (batch !== undefined) return this.#read(batch);
        if (this.#options.isComplete()) return undefined;
        throw new DynamoError(
          'backend.stream_incomplete',
          'the answer ended without a finish reason',
        );
      } catch (error) {
        if (this.#options.isComplete()) return undefined;
        await this.#migrate(error);
      }
    }
  }

  /** Drops the rest and tells the worker. Idempotent. */
  cancel(): void {
    if (this.#options.isComplete()) this.#stream.report({ complete: true });
    this.#stream.cancel();
  }

  #read(batch: readonly Uint8Array[]): readonly GenerateResponse[] {
    const messages = batch.map((item) => GenerateResponse.decode(item));
    for (const message of messages) {
      this.#received?.append(message.tokenIdsLe);
      if (message.text !== undefined || message.deltaJson.length > 0) this.#giveUp('no_token_ids');
      if (message.usage !== undefined) this.#onUsage(message.usage);
    }
    this.#checkLength();
    return messages;
  }

  #checkLength(): void {
    const { maxSequenceTokens = Infinity, request, report } = this.#options;
    const received = this.#received;
    if (received === undefined || request.promptTokens + received.count <= maxSequenceTokens)
      return;
    this.#giveUp('max_seq_len');
    report.tooLong();
  }

  /** The answer can no longer move; its ids are not needed any more. */
  #giveUp(obstacle: MigrationObstacle): void {
    this.#obstacle ??= obstacle;
    this.#received = undefined;
  }

  /** The router learns what the worker says; the client what is true of its prompt. */
  #onUsage(usage: NonNullable<GenerateResponse['usage']>): void {
    const { cachedTokens } = usage;
    if (cachedTokens !== undefined) this.#stream.report({ cachedTokens });
    if (this.#carried > 0) this.#correctUsage(usage);
  }

  /** What the present worker counts as prompt is in part the answer. */
  #correctUsage(usage: NonNullable<GenerateResponse['usage']>): void {
    usage.promptTokens = Math.max(0, usage.promptTokens - this.#carried);
    usage.completionTokens += this.#carried;
    if (usage.cachedTokens === undefined) return;
    usage.cachedTokens = Math.min(usage.cachedTokens, usage.promptTokens);
  }

  /** Continues on another worker, or throws what ended the answer. */
  async #migrate(cause: unknown): Promise<void> {
    const { request, report } = this.#options;
    if (!isRetryable(cause) || request.context.isStopped()) throw cause;
    const from = this.#stream.instanceId;
    const replay = this.#replay();
    if (typeof replay === 'string') {
      report.refused(replay, from, cause);
      throw cause;
    }
    this.#failed.add(from);
    this.#moves += 1;
    report.began('ongoing_request');
    const startMs = this.#clock.monotonicMs();
    const tokens = this.#received?.count ?? 0;
    const ended = (outcome: MigrationOutcome, to?: InstanceId): void => {
      const durationMs = this.#clock.monotonicMs() - startMs;
      report.moved({ from, to, outcome, durationMs, tokens, cause });
    };
    try {
      this.#stream = await this.#reopen(replay, cause);
    } catch (error) {
      ended(request.context.isStopped() ? 'cancelled' : 'failure');
      throw error;
    }
    this.#carried = tokens;
    ended('success', this.#stream.instanceId);
  }

  /** The request for the rest of the answer, or what stands against it. */
  #replay(): DispatchRequest | MigrationObstacle {
    const { request, limit } = this.#options;
    const received = this.#received;
    if (this.#obstacle !== undefined || received === undefined) {
      return this.#obstacle ?? 'disabled';
    }
    if (this.#moves >= limit) return 'limit';
    const original = GenerateRequest.decode(request.payload);
    const obstacle = requestObstacle(original);
    if (obstacle !== undefined) return obstacle;
    const tokenIdsLe = received.after(original.tokenIdsLe);
    return {
      ...request,
      payload: replayRequest(original, tokenIdsLe, received.count),
      promptTokens: request.promptTokens + received.count,
      blockHashes: this.#blockHashes(tokenIdsLe),
    };
  }

  /** The received tokens may have completed blocks, which the worker may hold from the same sequence elsewhere. */
  #blockHashes(tokenIdsLe: Uint8Array): BigUint64Array {
    const { request, blockHashesOf } = this.#options;
    const tokenIds = tokenIdsFromBytes(tokenIdsLe);
    const blocks = Math.floor(tokenIds.length / Math.max(1, request.blockSize));
    return blocks === request.blockHashes.length ? request.blockHashes : blockHashesOf(tokenIds);
  }

  #reopen(request: DispatchRequest, cause: DynamoError): Promise<DispatchedStream> {
    return dispatchAgain({
      ...this.#options,
      // An answer that has begun does not wait behind those that have not.
      request: { ...request, wishes: { ...request.wishes, strictPriority: MOST_STRICT } },
      broke: this.#failed,
      cause,
      isTried: false,
      clock: this.#clock,
    });
  }
}
