import { DynamoError } from '@dynamo-ts/base';
import { loadConfig } from '@dynamo-ts/config';
import type { ConfigOf, Options } from '@dynamo-ts/config';
import { FRONTEND_OPTIONS } from '@dynamo-ts/frontend';
import type { FrontendConfig } from '@dynamo-ts/frontend';
import { WORKER_OPTIONS } from '@dynamo-ts/worker-shim';
import type { EngineKind, WorkerConfig } from '@dynamo-ts/worker-shim';

/** What answers: the prompt itself, a simulated engine, or the workers that discovery finds (RF 1.16). */
export const EngineType = { Echo: 'echo', Mocker: 'mocker', Dynamic: 'dynamic' } as const;

/** Name of an engine type. */
export type EngineType = (typeof EngineType)[keyof typeof EngineType];

/** Parameters of {@link makeEngine}, those of the reference's `EntrypointArgs`. */
export interface EntrypointArgs {
  readonly engineType: EngineType;
  /** A folder of Hugging Face files or a GGUF file. @default the built-in byte-level model */
  readonly modelPath?: string;
  /**
   * Name that clients use. @default the last part of `modelPath`, or the engine's name. Of a dynamic engine, the model
   * that prompts go to. @default the only one that is served
   */
  readonly modelName?: string;
  /** Most tokens of prompt and answer together. */
  readonly contextLength?: number;
  /** Tokens of one KV block. */
  readonly kvCacheBlockSize?: number;
  /** @default '0.0.0.0' */
  readonly httpHost?: string;
  /** @default 8000 */
  readonly httpPort?: number;
  readonly routerMode?: FrontendConfig['routerMode'];
  readonly migrationLimit?: number;
  /** Any other setting of the worker. */
  readonly worker?: Partial<WorkerConfig>;
  /** Any other setting of the frontend. */
  readonly frontend?: Partial<FrontendConfig>;
}

/** An engine that is decided but not started; see `runInput`. */
export interface EntrypointEngine {
  readonly type: EngineType | EngineKind;
  /** Model that prompts go to; undefined when there is only one. */
  readonly modelName: string | undefined;
  /** Undefined for {@link EngineType.Dynamic}: its workers run elsewhere. */
  readonly worker: WorkerConfig | undefined;
  readonly frontend: FrontendConfig;
}

/** Decides everything about an engine; environment variables are not read. @throws `request.invalid` */
export function makeEngine(args: EntrypointArgs): EntrypointEngine {
  const { engineType: type, migrationLimit, modelPath } = args;
  const hasWorker = type !== EngineType.Dynamic;
  if (!hasWorker && modelPath !== undefined) {
    throw new DynamoError(
      'request.invalid',
      `modelPath ${modelPath} is of no use to a dynamic engine: its workers name their models`,
    );
  }
  return {
    type,
    modelName: args.modelName ?? args.worker?.modelName,
    worker: hasWorker ? workerConfig(type, args) : undefined,
    frontend: {
      ...defaultsOf(FRONTEND_OPTIONS, 'frontend'),
      ...given({
        httpHost: args.httpHost,
        httpPort: args.httpPort,
        routerMode: args.routerMode,
        migrationLimit,
      }),
      ...args.frontend,
    },
  };
}

function workerConfig(engine: 'echo' | 'mocker', args: EntrypointArgs): WorkerConfig {
  return {
    ...defaultsOf(WORKER_OPTIONS, 'worker'),
    engine,
    ...given({
      modelPath: args.modelPath,
      modelName: args.modelName,
      contextLength: args.contextLength,
      blockSize: args.kvCacheBlockSize,
    }),
    ...args.worker,
  };
}

function defaultsOf<O extends Options>(options: O, command: string): ConfigOf<O> {
  return loadConfig(options, { argv: [], env: {}, command, summary: '' }).config;
}

/** Without what was left out. */
function given<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> }; // only entries of it
}
