export type { Frontend, FrontendDeps } from './app.ts';
export { createFrontend } from './app.ts';
export type { FrontendConfig } from './config.ts';
export { FRONTEND_OPTIONS } from './config.ts';
export { FRONTEND_METRICS } from './metrics.ts';
