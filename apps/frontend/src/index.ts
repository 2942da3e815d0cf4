export type { Frontend, FrontendDeps } from './app.ts';
export { createFrontend } from './app.ts';
export type { FrontendConfig } from './config.ts';
export { FRONTEND_OPTIONS } from './config.ts';
export type { ChatCompletionsEngine, CompletionsEngine } from './library/engine.ts';
export type { HttpServiceHandle } from './library/http-service.ts';
export { HttpService } from './library/http-service.ts';
export { FRONTEND_METRICS } from './metrics.ts';
