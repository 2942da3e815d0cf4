export type { WorkerShim, WorkerShimDeps } from './app.ts';
export { createWorkerShim, workerPath } from './app.ts';
export type { WorkerConfig } from './config.ts';
export { WORKER_OPTIONS } from './config.ts';
export type {
  Engine,
  EngineFacts,
  EngineHost,
  EngineInput,
  EngineKind,
  EngineLoad,
  EngineStartOptions,
  EngineVocabulary,
} from './engines/engine.ts';
export { ENGINE_HINTS, ENGINE_KINDS } from './engines/engine.ts';
