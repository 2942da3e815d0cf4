/**
 * A simulated engine in real time: the scheduler and the clock run in Rust, this face hands their batches on.
 *
 * There is one call from Rust per tick of 1 ms, whatever the number of requests. While it is being handled at most one
 * further batch is prepared; a process that does not keep up slows the simulated engine down and queues nothing.
 * Every request's receiver gets exactly one output with a finish reason.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { DynamoError, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import { NativeMockEngine } from '@dynamo-ts/native';
import type { NativeMockBatch, NativeMockRankTotals, NativeMockRequest } from '@dynamo-ts/native';
import { FinishReason } from '@dynamo-ts/protocol';

import { BatchReader } from './batch-reader.ts';
import type { MockEngineOptions } from './mock-engine-options.ts';
import { nativeOptions } from './mock-engine-options.ts';
import type { MockHandle, MockReceiver, MockRequest } from './mock-request.ts';

/** Gauges of one data-parallel rank. */
export interface MockRankLoad {
  readonly running: number;
  readonly waiting: number;
  /** Blocks that requests hold. */
  readonly activeBlocks: number;
  /** Reusable blocks that no request holds. */
  readonly inactiveBlocks: number;
  readonly totalBlocks: number;
  /** Prompt tokens still to be computed, of all requests. */
  readonly prefillTokens: number;
}

/** Counters of one data-parallel rank since the engine was started. */
export type MockRankTotals = Readonly<NativeMockRankTotals>;

/** What an engine tells besides the requests' outputs. */
export interface MockEngineHost {
  /** KV event records of one tick; see `decodeKvEvents`. Called after the outputs of the same tick. */
  kvEvents(records: Uint8Array): void;
  /** A gauge has changed; read {@link MockEngine.loads}. */
  loadChanged(): void;
  /** The engine has died; every request has been ended with an error. */
  failed(error: DynamoError): void;
}

/** A simulated engine that runs. */
export class MockEngine implements AsyncDisposable {
  readonly #native: NativeMockEngine;
  readonly #host: MockEngineHost;
  readonly #requests: (Request | undefined)[] = [];
  readonly #freeIds: number[] = [];
  readonly #reader = new BatchReader();
  readonly #readyAtMs: number;
  #loads: readonly MockRankLoad[];
  #closed = false;

  /**
   * Starts an engine. Requests may be submitted at once; they wait for the start-up time.
   *
   * @throws `config.invalid` naming the setting that no engine can run with
   */
  static start(options: MockEngineOptions, host: MockEngineHost): MockEngine {
    return new MockEngine(options, host);
  }

  private constructor(options: MockEngineOptions, host: MockEngineHost) {
    this.#host = host;
    const settings = nativeOptions(options);
    this.#readyAtMs = performance.now() + settings.startupTimeMs;
    this.#loads = idleLoads(settings.dpSize, settings.numGpuBlocks);
    try {
      this.#native = new NativeMockEngine(settings, this.#onBatch);
    } catch (error) {
      throw new DynamoError('config.invalid', `The mock engine cannot run: ${messageOf(error)}.`, {
        cause: error,
      });
    }
  }

  /** Requests that have not ended. */
  get requests(): number {
    return this.#requests.length - this.#freeIds.length;
  }

  /** The present gauges, one entry per rank. */
  get loads(): readonly MockRankLoad[] {
    return this.#loads;
  }

  /** Counters of every rank, as of the last tick. */
  totals(): readonly MockRankTotals[] {
    this.#throwIfClosed();
    return this.#native.totals();
  }

  /** Waits until the start-up time is over. */
  async ready({ signal }: AbortOptions = {}): Promise<void> {
    throwIfAborted(signal);
    const waitMs = this.#readyAtMs - performance.now();
    if (waitMs > 0) await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
  }

  /**
   * Hands a request over: a few microseconds, the prompt is copied once. Its first output comes in a later tick.
   *
   * @throws `runtime.closed` after {@link MockEngine.close}
   */
  submit(request: MockRequest, receiver: MockReceiver): MockHandle {
    this.#throwIfClosed();
    const id = this.#freeIds.pop() ?? this.#requests.length;
    const handle = new Request(receiver, () => this.#native.cancel(id));
    this.#requests[id] = handle;
    this.#native.submit(nativeRequest(id, request));
    return handle;
  }

  /** Drops the cache of every rank whose blocks are not in use. */
  clearCache(): void {
    this.#throwIfClosed();
    this.#native.clearCache();
  }

  /** Stops the engine; requests that run are ended as cancelled. Idempotent. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#native.close();
      this.#endAll(FinishReason.FINISH_REASON_CANCELLED);
    }
    return Promise.resolve();
  }

  /** Same as {@link MockEngine.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  readonly #onBatch = (batch: NativeMockBatch): void => {
    if (this.#closed) return;
    if (batch.failure !== undefined) {
      this.#fail(batch.failure);
      return;
    }
    const reader = this.#reader;
    reader.reset(batch.records, batch.tokenIds);
    if (batch.loads !== undefined) this.#loads = rankLoads(batch.loads);
    while (reader.next()) {
      const request = this.#requests[reader.id];
      if (request === undefined) continue;
      if (reader.finish !== FinishReason.FINISH_REASON_UNSPECIFIED) this.#release(reader.id);
      request.receiver.onOutput(reader);
    }
    if (batch.kvEvents !== undefined) this.#host.kvEvents(batch.kvEvents);
    if (batch.loads !== undefined) this.#host.loadChanged();
  };

  #fail(reason: string): void {
    this.#closed = true;
    this.#native.close();
    this.#endAll(FinishReason.FINISH_REASON_ERROR);
    this.#host.failed(new DynamoError('runtime.internal', `The mock engine has died: ${reason}.`));
  }

  #release(id: number): void {
    this.#requests[id]?.ended();
    this.#requests[id] = undefined;
    this.#freeIds.push(id);
  }

  #endAll(finish: FinishReason): void {
    for (const [id, request] of this.#requests.entries()) {
      if (request === undefined) continue;
      this.#release(id);
      request.receiver.onOutput(this.#reader.ended(finish));
    }
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new DynamoError('runtime.closed', 'The mock engine is closed.');
  }
}

class Request implements MockHandle {
  readonly receiver: MockReceiver;
  #cancel: (() => void) | undefined;

  constructor(receiver: MockReceiver, cancel: () => void) {
    this.receiver = receiver;
    this.#cancel = cancel;
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  ended(): void {
    this.#cancel = undefined;
  }
}

function nativeRequest(id: number, request: MockRequest): NativeMockRequest {
  const native: NativeMockRequest = { id, tokenIds: request.tokenIds };
  if (request.maxTokens !== undefined) native.maxTokens = request.maxTokens;
  if (request.minTokens !== undefined) native.minTokens = request.minTokens;
  if (request.ignoreEos === true) native.ignoreEos = true;
  if (request.stopTokenIds !== undefined) native.stopTokenIds = request.stopTokenIds;
  if (request.seed !== undefined) native.seed = request.seed;
  if (request.loraName !== undefined) native.loraName = request.loraName;
  if (request.cacheSalt !== undefined) native.cacheSalt = request.cacheSalt;
  if (request.dpRank !== undefined) native.dpRank = request.dpRank;
  return native;
}

/** Words of one rank in the native gauges. */
const GAUGES = 6;

function rankLoads(gauges: Uint32Array): readonly MockRankLoad[] {
  return Array.from({ length: gauges.length / GAUGES }, (_, rank) => {
    const [running = 0, waiting = 0, activeBlocks = 0, inactiveBlocks = 0, totalBlocks = 0, last] =
      gauges.subarray(rank * GAUGES, (rank + 1) * GAUGES);
    return {
      running,
      waiting,
      activeBlocks,
      inactiveBlocks,
      totalBlocks,
      prefillTokens: last ?? 0,
    };
  });
}

function idleLoads(ranks: number, totalBlocks: number): readonly MockRankLoad[] {
  return Array.from({ length: ranks }, () => ({
    running: 0,
    waiting: 0,
    activeBlocks: 0,
    inactiveBlocks: 0,
    totalBlocks,
    prefillTokens: 0,
  }));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
