/**
 * The simulated engine: scheduler, cache and timing of a vLLM-style engine, with made-up tokens. Its tokens depend on the
 * seed and on the tokens before them alone, so that any mocker continues another one's answer.
 */
import { DynamoError } from '@dynamo-ts/base';
import { tokenIdsFromBytes } from '@dynamo-ts/protocol';
import type { GenerateRequest } from '@dynamo-ts/protocol';
import type { Context } from '@dynamo-ts/runtime';
import { MockEngine } from '@dynamo-ts/sim';
import type { MockRequest } from '@dynamo-ts/sim';
import type { Logger } from '@dynamo-ts/telemetry';

import type { WorkerConfig } from '../../config.ts';
import { TOKEN_PRINTABLE, TOKEN_SPECIAL } from '../engine.ts';
import type {
  Engine,
  EngineFacts,
  EngineHost,
  EngineLoad,
  EngineSink,
  EngineStartOptions,
  EngineVocabulary,
} from '../engine.ts';
import type { EngineSleep } from '../engine-sleep.ts';
import { MockerAnswer } from './mocker-answer.ts';
import { refuseUnsupported } from '../unsupported.ts';

/** The options of the worker that the mocker reads. */
export type MockerConfig = Pick<
  WorkerConfig,
  | 'blockSize'
  | 'dataParallelSize'
  | 'decodeSpeedupRatio'
  | 'enableChunkedPrefill'
  | 'enablePrefixCaching'
  | 'maxNumBatchedTokens'
  | 'maxNumSeqs'
  | 'numGpuBlocks'
  | 'preemptionMode'
  | 'speedupRatio'
  | 'startupTimeMs'
  | 'watermark'
>;

/** Settings of {@link MockerEngine}. */
export interface MockerEngineOptions {
  readonly config: MockerConfig;
  readonly vocabulary: EngineVocabulary;
  readonly contextLength: number;
  readonly logger: Logger;
}

/** The mocker. */
export class MockerEngine implements Engine {
  readonly kind = 'mocker';
  /** Asleep there is no simulated engine, and so no cache; weights that were dropped take the start-up time again. */
  readonly sleepMode: EngineSleep = {
    check: () => Promise.resolve(),
    sleep: async (level) => {
      this.#wakeMs = level === 1 ? 0 : this.#options.config.startupTimeMs;
      await this.#stop();
    },
    wake: async (parts, { signal }) => {
      if (!parts.includes('kv_cache') || this.#engine !== undefined) return;
      await this.#run(this.#wakeMs, signal);
    },
  };
  readonly #options: MockerEngineOptions;
  readonly #vocabulary: Uint32Array;
  readonly #answers = new Set<MockerAnswer>();
  #engine: MockEngine | undefined;
  #host: EngineHost | undefined;
  /** How long waking up takes. */
  #wakeMs = 0;

  /** Starts nothing. @throws `model.invalid` when the vocabulary has no printable token */
  constructor(options: MockerEngineOptions) {
    this.#options = options;
    this.#vocabulary = printableIds(options.vocabulary);
  }

  async start({ host, signal }: EngineStartOptions): Promise<EngineFacts> {
    const { config } = this.#options;
    this.#host = host;
    await this.#run(config.startupTimeMs, signal);
    return {
      modelNames: ['mocker'],
      input: 'tokens',
      contextLength: this.#contextLength(),
      blockSize: config.blockSize,
      totalKvBlocks: config.numGpuBlocks,
      maxSeqs: config.maxNumSeqs,
      maxBatchedTokens: config.maxNumBatchedTokens,
      dataParallelSize: config.dataParallelSize,
      kvEvents: { kind: config.enablePrefixCaching ? 'host' : 'uncached' },
    };
  }

  generate(request: GenerateRequest, sink: EngineSink, context: Context): void {
    const engine = this.#engine;
    if (engine === undefined) throw stopping();
    refuse(request);
    const mock = mockRequest(request);
    const answer = new MockerAnswer({
      sink,
      promptTokens: mock.tokenIds.length,
      logprobs: request.outputOptions?.logprobs,
      vocabulary: this.#vocabulary,
      onEnd: (ended) => this.#answers.delete(ended),
      onAborted: (abortMs) => {
        sink.released?.();
        this.#logAbort(context, abortMs);
      },
    });
    this.#answers.add(answer);
    answer.follow(engine.submit(mock, answer), context);
  }

  load(): readonly EngineLoad[] {
    const loads = this.#engine?.loads ?? [];
    return loads.map((load, dpRank) => ({
      dpRank,
      activeRequests: load.running,
      waitingRequests: load.waiting,
      activeDecodeBlocks: load.activeBlocks,
      activePrefillTokens: load.prefillTokens,
      totalKvBlocks: load.totalBlocks,
    }));
  }

  async close(): Promise<void> {
    this.#host = undefined;
    await this.#stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(startupTimeMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { config } = this.#options;
    const host = this.#host;
    if (host === undefined) throw stopping();
    const engine = MockEngine.start(
      {
        ...config,
        startupTimeMs,
        dpSize: config.dataParallelSize,
        maxModelLen: this.#contextLength(),
        vocabulary: this.#vocabulary,
      },
      {
        kvEvents: (records) => host.kvEvents(records),
        loadChanged: () => host.loadChanged(),
        failed: (error) => host.crashed(error),
      },
    );
    this.#engine = engine;
    await engine.ready({ signal });
  }

  async #stop(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    for (const answer of this.#answers) answer.fail(stopping());
    await engine?.close();
  }

  /** A sequence that the cache cannot hold can never run. */
  #contextLength(): number {
    const { config, contextLength } = this.#options;
    return Math.min(contextLength, config.numGpuBlocks * config.blockSize);
  }

  #logAbort(context: Context, abortMs: number): void {
    const { logger } = this.#options;
    if (!logger.isEnabled('debug')) return;
    logger.debug('the engine has given up a request', {
      request_id: context.id,
      abort_ms: Math.round(abortMs * 1000) / 1000,
    });
  }
}

function refuse(request: GenerateRequest): void {
  refuseUnsupported('mocker', [
    ['text input', request.textInput !== undefined],
    ['several choices (n > 1)', (request.samplingOptions?.n ?? 1) > 1],
    ['prompt_logprobs', request.outputOptions?.promptLogprobs !== undefined],
  ]);
}

function mockRequest(request: GenerateRequest): MockRequest {
  const { routing, samplingOptions, stopConditions } = request;
  const stopIds = stopConditions?.stopTokenIdsLe;
  return {
    tokenIds: tokenIdsFromBytes(request.tokenIdsLe),
    maxTokens: stopConditions?.maxTokens,
    minTokens: stopConditions?.minTokens,
    ignoreEos: stopConditions?.ignoreEos,
    stopTokenIds:
      stopIds === undefined || stopIds.length === 0 ? undefined : tokenIdsFromBytes(stopIds),
    seed: samplingOptions?.seed,
    loraName: routing?.loraName,
    cacheSalt: routing?.cacheSalt,
    dpRank: routing?.dpRank,
  };
}

function printableIds({ eosTokenIds, flags }: EngineVocabulary): Uint32Array {
  const ids = Uint32Array.from(flags.keys()).filter((id) => {
    const kind = flags[id] ?? 0;
    return (kind & TOKEN_PRINTABLE) !== 0 && (kind & TOKEN_SPECIAL) === 0;
  });
  const printable = ids.filter((id) => !eosTokenIds.includes(id));
  if (printable.length > 0) return printable;
  throw new DynamoError('model.invalid', 'the model has no token that is printable text');
}

function stopping(): DynamoError {
  return new DynamoError('backend.engine_shutdown', 'the engine is stopping');
}
