export type {
  EngineFinishReason,
  EngineGenerate,
  EngineOutput,
  EngineRequest,
} from './engine-handler.ts';
export { engineHandler } from './engine-handler.ts';
export { MODEL_FILES_ENDPOINT } from './model-files-endpoint.ts';
export { modelNameOf, modelSourceOf } from './model-path.ts';
export type {
  ModelInput,
  ModelType,
  RegisterModelOptions,
  UnregisterModelOptions,
  WorkerType,
} from './register-model.ts';
export { registerModel, unregisterModel } from './register-model.ts';
export type { RegisteredModel } from './registered-model.ts';
