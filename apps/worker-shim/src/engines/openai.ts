/** Any OpenAI-compatible server: by token ids where it takes them and gives them back, by text otherwise. */
import { existsSync } from 'node:fs';

import { DynamoError, hasCode } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import type { GenerateRequest } from '@dynamo-ts/protocol';

import type { EngineHttp } from '../http/engine-http.ts';
import { arrayOf, numberOf, parseRecord, recordOf, stringOf } from '../http/json-fields.ts';
import type { EngineFacts, EngineInput } from './engine.ts';
import type { HttpQuestion } from './http-answers.ts';
import { HttpEngine, firstModel } from './http-engine.ts';
import type { HttpEngineOptions, ListedModel } from './http-engine.ts';
import { TOKENS_PATH, tokensProbe, tokensQuestion } from './openai-tokens.ts';
import { textQuestion } from './openai-text.ts';
import type { TextTarget } from './openai-text.ts';

/** The engine of any OpenAI-compatible server. */
export class OpenAiEngine extends HttpEngine {
  readonly kind = 'openai';
  readonly #options: HttpEngineOptions;
  #target: TextTarget = { model: '', address: '' };
  #input: EngineInput = 'text';

  constructor(options: HttpEngineOptions) {
    super(options, '/v1/models');
    this.#options = options;
  }

  protected override async inspect(http: EngineHttp, options: AbortOptions): Promise<EngineFacts> {
    const model = await firstModel(http, options);
    const modelPath = this.#options.modelPath ?? modelFolder(model);
    this.#target = { model: model.id, address: http.address };
    this.#input = await this.#chooseInput(http, modelPath, options);
    const cache = await cacheConfig(http, options);
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
      dataParallelSize: 1,
      modelPath: this.#input === 'tokens' ? modelPath : undefined,
    };
  }

  protected override ask(request: GenerateRequest): HttpQuestion {
    return this.#input === 'tokens'
      ? tokensQuestion(request, this.#target)
      : textQuestion(request, this.#target);
  }

  async #chooseInput(
    http: EngineHttp,
    modelPath: string | undefined,
    options: AbortOptions,
  ): Promise<EngineInput> {
    const { input, logger } = this.#options;
    if (input === 'text') return 'text';
    const returnsIds = await this.#returnsTokenIds(http, options);
    if (returnsIds && modelPath !== undefined) return 'tokens';
    const reason = returnsIds
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

  async #returnsTokenIds(http: EngineHttp, options: AbortOptions): Promise<boolean> {
    const signal = options.signal ?? new AbortController().signal;
    try {
      let found = false;
      const question = tokensProbe(this.#target.model);
      for await (const events of http.postEvents(TOKENS_PATH, question, signal)) {
        found ||= events.some(({ data }) => carriesTokenIds(data));
      }
      return found;
    } catch (error) {
      if (hasCode(error, 'request.invalid', 'backend.error')) return false;
      throw error;
    }
  }
}

function carriesTokenIds(data: string): boolean {
  return arrayOf(parseRecord(data)['choices']).some((choice) =>
    Array.isArray(recordOf(choice)['token_ids']),
  );
}

/** vLLM lists the folder or repository that it loaded the model from as `root`. */
function modelFolder(model: ListedModel): string | undefined {
  const root = stringOf(model.fields['root']);
  return root?.startsWith('/') === true && existsSync(root) ? root : undefined;
}

/** vLLM tells its KV cache's shape in the labels of a metric. */
async function cacheConfig(
  http: EngineHttp,
  options: AbortOptions,
): Promise<{ blockSize: number | undefined; totalKvBlocks: number | undefined }> {
  let labels = '';
  try {
    const page = await http.getText('/metrics', options);
    labels = /^vllm:cache_config_info\{(.*)\}/m.exec(page)?.[1] ?? '';
  } catch {
    // other servers have no such page
  }
  const label = (name: string): number | undefined => {
    const value = new RegExp(`(?:^|,)${name}="(\\d+)"`).exec(labels)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  return { blockSize: label('block_size'), totalKvBlocks: label('num_gpu_blocks') };
}
