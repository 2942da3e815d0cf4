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
export { ENGINE_KINDS } from './engines/engine.ts';
