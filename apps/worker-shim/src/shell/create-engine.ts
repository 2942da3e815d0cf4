/** Makes the engine that the configuration names. */
import { DynamoError } from '@dynamo-ts/base';
import type { CardFileCache } from '@dynamo-ts/preprocess';
import type { Logger } from '@dynamo-ts/telemetry';

import type { WorkerConfig } from '../config.ts';
import { EchoEngine } from '../engines/echo.ts';
import type { Engine } from '../engines/engine.ts';
import type { HttpEngineOptions } from '../engines/http-engine.ts';
import { LlamaServerEngine } from '../engines/llama-server/llama-server.ts';
import { MockerEngine } from '../engines/mocker/mocker.ts';
import { OpenAiEngine } from '../engines/openai/openai.ts';
import { configuredAddresses } from '../kv/event-addresses.ts';
import { parseEngineCommand } from '../supervise/engine-command.ts';
import type { EngineSource } from '../supervise/engine-connection.ts';
import { loadModelText, modelSourceOf } from './model/model-source.ts';

/** What {@link createEngine} works with. */
export interface CreateEngineOptions {
  readonly config: WorkerConfig;
  readonly cache: CardFileCache;
  readonly logger: Logger;
}

/** Context length of the built-in model (RP 9.1 sets none). */
const BUILTIN_CONTEXT_LENGTH = 131_072;

/** Makes the engine; nothing is started. @throws `config.invalid`, `model.invalid` */
export async function createEngine(options: CreateEngineOptions): Promise<Engine> {
  const { config } = options;
  refuseEventSockets(config);
  switch (config.engine) {
    case 'mocker':
      return createMocker(options);
    case 'echo':
      return createEcho(options);
    case 'llama-server':
      return createLlamaServer(options);
    case 'openai':
      return createOpenAi(options);
  }
}

async function createMocker({ config, cache, logger }: CreateEngineOptions): Promise<Engine> {
  const { vocabulary, contextLength } = await ownModel(config, cache);
  return new MockerEngine({ config, vocabulary, contextLength, logger });
}

async function createEcho({ config, cache }: CreateEngineOptions): Promise<Engine> {
  const { vocabulary, contextLength } = await ownModel(config, cache);
  const { tokenEchoDelayMs: tokenDelayMs, blockSize } = config;
  return new EchoEngine({ vocabulary, contextLength, tokenDelayMs, blockSize });
}

/** Only servers that are not ours have event sockets. */
function refuseEventSockets({ engine, kvEventsEndpoint, kvReplayEndpoint }: WorkerConfig): void {
  if (engine === 'openai' || kvEventsEndpoint.length + kvReplayEndpoint.length === 0) return;
  throw new DynamoError(
    'config.invalid',
    `engine ${engine} has no ZeroMQ events: --kv-events-endpoint and --kv-replay-endpoint are for openai`,
  );
}

/** The model of an engine that has none of its own. */
async function ownModel(config: WorkerConfig, cache: CardFileCache) {
  if (config.engineUrl !== undefined) {
    throw new DynamoError(
      'config.invalid',
      `engine ${config.engine} is part of the worker and has no address: --engine-url is for llama-server and openai`,
    );
  }
  const { vocabulary, contextLength } = await loadModelText(modelSourceOf(config.modelPath), cache);
  return {
    vocabulary,
    contextLength:
      config.maxModelLen ?? config.contextLength ?? contextLength ?? BUILTIN_CONTEXT_LENGTH,
  };
}

function createLlamaServer(options: CreateEngineOptions): Engine {
  const { cache } = options;
  return new LlamaServerEngine({
    ...httpOptions(options, llamaServerSource(options)),
    loadVocabulary: async (path) => (await loadModelText(modelSourceOf(path), cache)).vocabulary,
  });
}

function createOpenAi(options: CreateEngineOptions): Engine {
  const { engineUrl } = options.config;
  if (engineUrl === undefined) {
    throw new DynamoError(
      'config.invalid',
      'engine openai needs the address of a server: --engine-url',
    );
  }
  return new OpenAiEngine({
    ...httpOptions(options, attach(engineUrl)),
    dataParallelSize: options.config.dataParallelSize,
    eventAddresses: configuredAddresses(options.config),
  });
}

function llamaServerSource(options: CreateEngineOptions): EngineSource {
  const { config } = options;
  const { contextLength, engineUrl, modelPath } = config;
  if (engineUrl !== undefined) return attach(engineUrl);
  if (modelPath === undefined) {
    throw new DynamoError(
      'config.invalid',
      'llama-server needs a GGUF file to start with: --model-path; or attach to a running one with --engine-url',
    );
  }
  const context = contextLength === undefined ? [] : ['--ctx-size', String(contextLength)];
  const further = config.engineArgs.split(/\s+/).filter((part) => part !== '');
  return {
    kind: 'start',
    command: parseEngineCommand(config.engineCommand, config.searchPath),
    args: (port) => [
      ...['--model', modelPath, '--host', '127.0.0.1', '--port', String(port), '--metrics'],
      ...context,
      ...further,
    ],
  };
}

function attach(url: string): EngineSource {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new DynamoError(
      'config.invalid',
      `--engine-url: "${url}" is not an http or https address`,
    );
  }
  return { kind: 'attach', url };
}

function httpOptions(options: CreateEngineOptions, source: EngineSource): HttpEngineOptions {
  const { config, logger } = options;
  return {
    source,
    apiKey: config.engineApiKey,
    input: config.engineInput,
    modelPath: config.modelPath,
    blockSize: config.blockSize,
    startupTimeoutMs: config.engineStartupTimeoutMs,
    logger: logger.child({ target: 'worker.engine' }),
  };
}
