/**
 * Makes a model that this process serves known to the deployment (RF 1.16).
 *
 * The card goes into discovery under this process's lease, so that it leaves with the process, and the tokenizer's files
 * are served beside the endpoint for frontends on other machines. Endpoint and card may be registered in either order.
 */
import { DynamoError } from '@dynamo-ts/base';
import { CardFileCache, buildModelCard } from '@dynamo-ts/preprocess';
import type { ModelSource } from '@dynamo-ts/preprocess';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { ModelRuntimeConfig } from '@dynamo-ts/protocol';
import type { DistributedRuntime, Endpoint } from '@dynamo-ts/runtime';

import { modelNameOf, modelSourceOf } from './model-path.ts';
import type { RegisteredModel } from './registered-model.ts';
import { RuntimeModels } from './runtime-models.ts';

/** What the endpoint takes: token ids, or the client's request as it is. */
export type ModelInput = 'tokens' | 'text';

/** What clients may ask the model for. */
export type ModelType = 'chat' | 'completions';

/** What part of generation the worker does. */
export type WorkerType = 'aggregated' | 'prefill' | 'decode';

/** Parameters of {@link registerModel}, those of the reference's `register_model`. */
export interface RegisterModelOptions {
  readonly runtime: DistributedRuntime;
  /** The endpoint that generates. */
  readonly endpoint: Endpoint;
  /** @default 'tokens' */
  readonly modelInput?: ModelInput;
  /** @default chat and completions; completions only without a chat template */
  readonly modelType?: readonly ModelType[];
  /** @default 'aggregated' */
  readonly workerType?: WorkerType;
  /** A folder of Hugging Face files or a GGUF file. @default the built-in byte-level model; none for text input */
  readonly modelPath?: string | undefined;
  /** Name that clients use. @default the last part of `modelPath` */
  readonly modelName?: string | undefined;
  readonly aliases?: readonly string[];
  /** Most tokens of prompt and answer together. @default what the model's files say */
  readonly contextLength?: number | undefined;
  /** Tokens of one KV block. @default 16 */
  readonly kvCacheBlockSize?: number;
  /** Lowers the frontend's limit of moves to another worker; 0 leaves it. @default 0 */
  readonly migrationLimit?: number;
  /** Capacity and parsers. */
  readonly runtimeConfig?: Partial<ModelRuntimeConfig>;
  /** Anything that JSON can hold; it travels in the card. */
  readonly userData?: unknown;
  /** A Jinja file that replaces the model's own chat template. */
  readonly customTemplatePath?: string | undefined;
  /** Holds vocabularies extracted from GGUF files. @default the cache in the home directory */
  readonly cache?: CardFileCache;
}

/** Where a model was registered. */
export type UnregisterModelOptions = Pick<RegisterModelOptions, 'runtime' | 'endpoint'>;

const DEFAULT_BLOCK_SIZE = 16;

/**
 * Publishes a model. Registering another one at the same endpoint replaces the first.
 *
 * @throws `model.invalid` when the files cannot be read, `request.invalid` when no name is given or follows
 */
export async function registerModel(options: RegisterModelOptions): Promise<RegisteredModel> {
  const { endpoint, runtime, customTemplatePath, userData } = options;
  const built = await buildModelCard({
    source: sourceOf(options),
    name: nameOf(options),
    aliases: options.aliases ?? [],
    modelInput: options.modelInput ?? 'tokens',
    ...(options.modelType === undefined ? {} : { modelType: options.modelType }),
    workerType: options.workerType ?? 'aggregated',
    contextLength: options.contextLength,
    kvCacheBlockSize: options.kvCacheBlockSize ?? DEFAULT_BLOCK_SIZE,
    migrationLimit: options.migrationLimit,
    runtimeConfig: options.runtimeConfig ?? {},
    chatTemplatePath: customTemplatePath,
    ...(userData === undefined ? {} : { userDataJson: JSON.stringify(userData) }),
    cache: options.cache ?? new CardFileCache(),
  });
  return RuntimeModels.of(runtime).publish(endpoint.path, built);
}

/**
 * Takes the model of an endpoint out of discovery. Requests that run, and the endpoint itself, go on.
 *
 * @throws `request.not_found` when the runtime has registered none there
 */
export async function unregisterModel(options: UnregisterModelOptions): Promise<void> {
  const { path } = options.endpoint;
  const model = RuntimeModels.of(options.runtime).at(path);
  if (model === undefined) {
    throw new DynamoError(
      'request.not_found',
      `no model is registered at ${formatEndpointPath(path)}`,
    );
  }
  await model.unregister();
}

function sourceOf({ modelInput, modelPath }: RegisterModelOptions): ModelSource {
  if (modelInput === 'text') return { kind: 'none' };
  return modelPath === undefined ? { kind: 'builtin' } : modelSourceOf(modelPath);
}

function nameOf({ modelName, modelPath }: RegisterModelOptions): string {
  const name = modelName ?? (modelPath === undefined ? '' : modelNameOf(modelPath));
  if (name === '') {
    throw new DynamoError('request.invalid', 'registerModel needs modelName or modelPath');
  }
  return name;
}
