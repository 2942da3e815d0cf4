export type {
  EngineFinishReason,
  EngineGenerate,
  EngineOutput,
  EngineRequest,
} from './engine-handler.ts';
export { engineHandler } from './engine-handler.ts';
export type { FetchModelOptions, HubSettings } from './fetch-model.ts';
export { fetchModel, hubSettings } from './fetch-model.ts';
export { modelNameOf, modelSourceOf } from './model-path.ts';
export type { PublishModelOptions } from './publish-model.ts';
export { publishModel } from './publish-model.ts';
export type {
  ModelInput,
  ModelType,
  RegisterModelOptions,
  UnregisterModelOptions,
  WorkerType,
} from './register-model.ts';
export { registerModel, unregisterModel } from './register-model.ts';
export type { RegisteredModel } from './registered-model.ts';
