import { engineHandler } from '@dynamo-ts/models';
import type { EngineGenerate, EngineRequest } from '@dynamo-ts/models';
import { parseChatRequest, parseCompletionRequest, parseJsonBody } from '@dynamo-ts/openai';
import type { ValidationOptions } from '@dynamo-ts/openai';
import { ModelPreprocessor } from '@dynamo-ts/preprocess';
import { ModelDeploymentCard } from '@dynamo-ts/protocol';
import type { Telemetry } from '@dynamo-ts/telemetry';

import type { ServedModel } from '../models/served-model.ts';
import { readChatChoice, readChunks, readCompletionChoice } from './chunk-reader.ts';
import type { ChatCompletionsEngine, CompletionsEngine } from './engine.ts';
import { engineDispatcher } from './engine-dispatcher.ts';
import { ModelEngines } from './model-engines.ts';

/** What an {@link HttpService} serves now. The engines of chats and of text completions know nothing of each other. */
export class DeploymentState {
  readonly chatCompletions: ModelEngines<ChatCompletionsEngine>;
  readonly completions: ModelEngines<CompletionsEngine>;

  constructor(telemetry: Telemetry) {
    this.chatCompletions = new ModelEngines((name, engine) =>
      serveEngine({ name, type: 'chat', generate: chatGenerate(engine) }, telemetry),
    );
    this.completions = new ModelEngines((name, engine) =>
      serveEngine({ name, type: 'completions', generate: completionGenerate(engine) }, telemetry),
    );
  }

  /** The engine of exactly this name. @throws `request.model_not_found` */
  getChatCompletionsEngine(name: string): ChatCompletionsEngine {
    return this.chatCompletions.get(name);
  }

  /** The engine of exactly this name. @throws `request.model_not_found` */
  getCompletionsEngine(name: string): CompletionsEngine {
    return this.completions.get(name);
  }
}

interface EngineModel {
  readonly name: string;
  readonly type: 'chat' | 'completions';
  readonly generate: EngineGenerate;
}

function serveEngine({ name, type, generate }: EngineModel, telemetry: Telemetry): ServedModel {
  const card = ModelDeploymentCard.create({
    displayName: name,
    modelType: [type],
    modelInput: 'text',
    workerType: 'aggregated',
  });
  return {
    name,
    card,
    preprocessor: ModelPreprocessor.forText(card),
    dispatcher: engineDispatcher(engineHandler(generate), telemetry),
    excluded: [],
    release: () => undefined,
  };
}

/** The service has decided about unknown fields when an engine sees a request. */
const LENIENT: ValidationOptions = { ignoreUnsupported: true };

function chatGenerate(engine: ChatCompletionsEngine): EngineGenerate {
  return (request, context) => {
    const chat = parseChatRequest(bodyOf(request), LENIENT);
    return readChunks(engine(chat, context), readChatChoice);
  };
}

function completionGenerate(engine: CompletionsEngine): EngineGenerate {
  return (request, context) => {
    const completion = parseCompletionRequest(bodyOf(request), LENIENT);
    return readChunks(engine(completion, context), readCompletionChoice);
  };
}

function bodyOf({ textInput }: EngineRequest): unknown {
  return textInput === undefined ? undefined : parseJsonBody(textInput.bodyJson).value;
}
