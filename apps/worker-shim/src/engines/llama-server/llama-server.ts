/** llama.cpp's `llama-server`: by token ids over `/completion`, or by text over its OpenAI endpoints. */
import { existsSync } from 'node:fs';

import { DynamoError } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import { tokenIdsFromBytes } from '@dynamo-ts/protocol';
import type { GenerateRequest } from '@dynamo-ts/protocol';

import type { EngineHttp } from '../../http/engine-http.ts';
import { arrayOf, numberOf, recordOf, stringOf } from '../../http/json-fields.ts';
import type { EngineFacts, EngineVocabulary } from '../engine.ts';
import type { EngineWork } from '../abort-confirmer.ts';
import type { HttpQuestion } from '../http-answers.ts';
import { HttpEngine, firstModel } from '../http-engine.ts';
import type { HttpEngineOptions } from '../http-engine.ts';
import { LlamaServerReader } from './llama-server-reader.ts';
import { llamaServerBody } from './llama-server-request.ts';
import { MissingTokenFinder } from './missing-token-finder.ts';
import { textQuestion } from '../openai/openai-text.ts';

/** Settings of {@link LlamaServerEngine}. */
export interface LlamaServerOptions extends HttpEngineOptions {
  /** Reads the vocabulary of a model file. */
  readonly loadVocabulary: (modelPath: string) => Promise<EngineVocabulary>;
}

type Mode =
  | { readonly kind: 'tokens'; readonly missingTokens: MissingTokenFinder }
  | { readonly kind: 'text'; readonly model: string };

/** The llama-server engine. */
export class LlamaServerEngine extends HttpEngine {
  readonly kind = 'llama-server';
  readonly #options: LlamaServerOptions;
  #address = '';
  #mode: Mode | undefined;

  constructor(options: LlamaServerOptions) {
    super(options, '/health');
    this.#options = options;
  }

  protected override async inspect(http: EngineHttp, options: AbortOptions): Promise<EngineFacts> {
    const props = recordOf(await http.getJson('/props', options));
    const model = await firstModel(http, options);
    const contextLength = numberOf(recordOf(props['default_generation_settings'])['n_ctx']);
    const slots = numberOf(props['total_slots']) ?? 1;
    const modelPath = this.#options.modelPath ?? readablePath(stringOf(props['model_path']));
    this.#address = http.address;
    this.#mode = await this.#chooseMode(modelPath, model.id);
    const { blockSize } = this.#options;
    return {
      modelNames: [model.id],
      input: this.#mode.kind,
      contextLength,
      blockSize,
      totalKvBlocks: Math.floor(((contextLength ?? 0) * slots) / blockSize),
      maxSeqs: slots,
      maxBatchedTokens: 0,
      dataParallelSize: 1,
      modelPath: this.#mode.kind === 'tokens' ? modelPath : undefined,
    };
  }

  protected override ask(request: GenerateRequest): HttpQuestion {
    const mode = this.#mode;
    if (mode?.kind === 'text') {
      return textQuestion(request, { model: mode.model, address: this.#address });
    }
    if (mode === undefined) {
      throw new DynamoError('backend.engine_shutdown', 'the engine is not running');
    }
    return {
      path: '/completion',
      json: llamaServerBody(request),
      promptTokens: tokenIdsFromBytes(request.tokenIdsLe).length,
      reader: new LlamaServerReader({
        address: this.#address,
        choices: request.samplingOptions?.n ?? 1,
        maxTokens: request.stopConditions?.maxTokens,
        topLogprobs: request.outputOptions?.logprobs,
        missingTokens: mode.missingTokens,
      }),
    };
  }

  /** Busy slots; requests that wait for one are not told. */
  protected override async readWork(http: EngineHttp, options: AbortOptions): Promise<EngineWork> {
    const slots = arrayOf(await http.getJson('/slots', options));
    const busy = slots.filter((slot) => recordOf(slot)['is_processing'] === true);
    return { requests: busy.length, places: slots.length };
  }

  async #chooseMode(modelPath: string | undefined, model: string): Promise<Mode> {
    const { input, loadVocabulary, logger } = this.#options;
    if (input === 'text') return { kind: 'text', model };
    if (modelPath !== undefined) {
      const vocabulary = await loadVocabulary(modelPath);
      const missingTokens = new MissingTokenFinder({
        vocabularySize: vocabulary.flags.length,
        tokenBytes: (id) => vocabulary.tokenBytes(id),
      });
      return { kind: 'tokens', missingTokens };
    }
    if (input === 'tokens') {
      throw new DynamoError(
        'config.invalid',
        'token input needs the model file here; name it with --model-path, or use --engine-input text',
      );
    }
    logger.info('the model file is not readable here, so the engine is asked by text');
    return { kind: 'text', model };
  }
}

function readablePath(path: string | undefined): string | undefined {
  return path !== undefined && existsSync(path) ? path : undefined;
}
