/** Any OpenAI-compatible server: by token ids where it takes them and gives them back, by text otherwise. */
import { existsSync } from 'node:fs';

import { DynamoError, hasCode } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import type { EngineEventAddress } from '@dynamo-ts/engine-events';
import type { GenerateRequest } from '@dynamo-ts/protocol';

import type { EngineHttp } from '../../http/engine-http.ts';
import { arrayOf, numberOf, parseRecord, recordOf, stringOf } from '../../http/json-fields.ts';
import { listedAddresses } from '../../kv/event-addresses.ts';
import type { EngineFacts, EngineInput, EngineKvEvents } from '../engine.ts';
import type { EngineWork } from '../abort-confirmer.ts';
import type { HttpQuestion } from '../http-answers.ts';
import { HttpEngine, firstModel } from '../http-engine.ts';
import type { HttpEngineOptions, ListedModel } from '../http-engine.ts';
import { TOKENS_PATH, tokensProbe, tokensQuestion } from './openai-tokens.ts';
import { textQuestion } from './openai-text.ts';
import type { TextTarget } from './openai-text.ts';
import type { ObservedLoad } from '../load-tracker.ts';
import { SLEEPING_PARTS } from '../engine-sleep.ts';
import { parseVllmLoad, parseVllmRequests } from './vllm-load.ts';
import { readCacheConfig, readKvEventSources } from './vllm-facts.ts';
import type { VllmCacheConfig } from './vllm-facts.ts';
import { VllmSleep, isSleeping } from './vllm-sleep.ts';

/** Settings of {@link OpenAiEngine}. */
export interface OpenAiEngineOptions extends HttpEngineOptions {
  /** Ranks of a server that does not say how many it has. */
  readonly dataParallelSize: number;
  /** Where its KV events are; empty: the server is asked. */
  readonly eventAddresses: readonly EngineEventAddress[];
}

/** By which vLLM is told the data-parallel rank. */
const RANK_HEADER = 'x-data-parallel-rank';

const CACHED_HINT = 'start vLLM with --enable-prompt-tokens-details';

const EVENTS_HINT =
  'vLLM and SGLang publish them with --kv-events-config; name the socket with --kv-events-endpoint when the engine does not list it';

/** The engine of any OpenAI-compatible server. */
export class OpenAiEngine extends HttpEngine {
  readonly kind = 'openai';
  readonly sleepMode = new VllmSleep(() => this.connected());
  readonly #options: OpenAiEngineOptions;
  #target: TextTarget = { model: '', address: '' };
  #input: EngineInput = 'text';
  #ranks = 1;
  #totalKvBlocks = 0;

  constructor(options: OpenAiEngineOptions) {
    super(options, '/v1/models');
    this.#options = options;
  }

  protected override async inspect(http: EngineHttp, options: AbortOptions): Promise<EngineFacts> {
    const model = await firstModel(http, options);
    const modelPath = this.#options.modelPath ?? modelFolder(model);
    this.#target = { model: model.id, address: http.address };
    await this.#wakeUp(http, options);
    this.#input = await this.#chooseInput(http, modelPath, options);
    const cache = await readCacheConfig(http, options);
    const addresses = await this.#eventAddresses(http, options);
    this.#totalKvBlocks = cache.totalKvBlocks ?? 0;
    const [first, last] = [addresses[0], addresses.at(-1)];
    this.#ranks =
      first === undefined || last === undefined
        ? this.#options.dataParallelSize
        : last.dpRank - first.dpRank + 1;
    return {
      modelNames: [model.id],
      input: this.#input,
      contextLength:
        numberOf(model.fields['max_model_len']) ??
        numberOf(recordOf(model.fields['meta'])['n_ctx']),
      blockSize: cache.blockSize ?? this.#options.blockSize,
      totalKvBlocks: cache.totalKvBlocks ?? 0,
      maxSeqs: 0,
      maxBatchedTokens: 0,
      dataParallelSize: this.#ranks,
      dataParallelStartRank: first?.dpRank,
      kvEvents: this.#kvEvents(addresses, cache),
      modelPath: this.#input === 'tokens' ? modelPath : undefined,
    };
  }

  protected override ask(request: GenerateRequest): HttpQuestion {
    const question =
      this.#input === 'tokens'
        ? tokensQuestion(request, this.#target)
        : textQuestion(request, this.#target);
    const dpRank = request.routing?.dpRank;
    // A server with one rank may take the header for an error.
    return dpRank === undefined || this.#ranks < 2
      ? question
      : { ...question, dpRank, headers: { [RANK_HEADER]: String(dpRank) } };
  }

  protected override async readLoad(
    http: EngineHttp,
    options: AbortOptions,
  ): Promise<readonly ObservedLoad[] | undefined> {
    if (this.#totalKvBlocks === 0) return undefined;
    return parseVllmLoad(await http.getText('/metrics', options), this.#totalKvBlocks);
  }

  protected override async readWork(
    http: EngineHttp,
    options: AbortOptions,
  ): Promise<EngineWork | undefined> {
    const requests = parseVllmRequests(await http.getText('/metrics', options));
    return requests === undefined ? undefined : { requests };
  }

  /** A worker before this one may have left it asleep; then it answers nothing. */
  async #wakeUp(http: EngineHttp, options: AbortOptions): Promise<void> {
    if ((await isSleeping(http, options)) !== true) return;
    this.#options.logger.info('the engine is asleep and is woken up');
    await new VllmSleep(() => http).wake(SLEEPING_PARTS, options);
  }

  async #eventAddresses(
    http: EngineHttp,
    options: AbortOptions,
  ): Promise<readonly EngineEventAddress[]> {
    const { eventAddresses } = this.#options;
    if (eventAddresses.length > 0) return eventAddresses;
    return listedAddresses(await readKvEventSources(http, options), new URL(http.address).hostname);
  }

  #kvEvents(addresses: readonly EngineEventAddress[], cache: VllmCacheConfig): EngineKvEvents {
    const { logger } = this.#options;
    if (addresses.length > 0) {
      logger.info('the engine publishes KV events', {
        endpoints: addresses.map(({ endpoint }) => endpoint),
        has_replay: addresses.every(({ replayEndpoint }) => replayEndpoint !== undefined),
      });
      return { kind: 'sockets', addresses };
    }
    if (cache.isPrefixCached === false) return { kind: 'uncached' };
    logger.info('the engine publishes no KV events; routers guess what it has cached', {
      hint: EVENTS_HINT,
    });
    return { kind: 'none' };
  }

  async #chooseInput(
    http: EngineHttp,
    modelPath: string | undefined,
    options: AbortOptions,
  ): Promise<EngineInput> {
    const { input, logger } = this.#options;
    if (input === 'text') return 'text';
    const found = await this.#probe(http, options);
    if (found.tokenIds && modelPath !== undefined) {
      if (!found.cachedTokens)
        logger.info('the engine does not report cached tokens', { hint: CACHED_HINT });
      return 'tokens';
    }
    const reason = found.tokenIds
      ? 'its tokenizer is not readable here; name its folder with --model-path'
      : 'it does not give token ids back';
    if (input === 'tokens') {
      throw new DynamoError(
        'config.invalid',
        `the engine at ${http.address} cannot be asked by token ids: ${reason}`,
      );
    }
    logger.info('the engine is asked by text', { reason });
    return 'text';
  }

  /** One token of one token, to see what the server's answers carry. */
  async #probe(http: EngineHttp, options: AbortOptions): Promise<ProbeResult> {
    const signal = options.signal ?? new AbortController().signal;
    const found = { tokenIds: false, cachedTokens: false };
    try {
      const question = { path: TOKENS_PATH, json: tokensProbe(this.#target.model) };
      for await (const events of http.postEvents(question, signal)) {
        for (const { data } of events) lookAt(data, found);
      }
    } catch (error) {
      if (!hasCode(error, 'request.invalid', 'backend.error')) throw error;
    }
    return found;
  }
}

/** What a server's answers carry. */
interface ProbeResult {
  readonly tokenIds: boolean;
  /** How much of the prompt was cached. */
  readonly cachedTokens: boolean;
}

function lookAt(data: string, found: { tokenIds: boolean; cachedTokens: boolean }): void {
  if (data === '[DONE]') return;
  const chunk = parseRecord(data);
  found.tokenIds ||= arrayOf(chunk['choices']).some((choice) =>
    Array.isArray(recordOf(choice)['token_ids']),
  );
  const details = recordOf(recordOf(chunk['usage'])['prompt_tokens_details']);
  found.cachedTokens ||= numberOf(details['cached_tokens']) !== undefined;
}

/** vLLM lists the folder or repository that it loaded the model from as `root`. */
function modelFolder(model: ListedModel): string | undefined {
  const root = stringOf(model.fields['root']);
  return root?.startsWith('/') === true && existsSync(root) ? root : undefined;
}
