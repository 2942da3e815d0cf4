export type { EntrypointArgs, EntrypointEngine } from './entrypoint/make-engine.ts';
export { EngineType, makeEngine } from './entrypoint/make-engine.ts';
export type { ReadyInput, RunInputOptions } from './entrypoint/run-input-options.ts';
export { runInput } from './entrypoint/run-input.ts';
