export type { RouterApp, RouterDeps } from './app.ts';
export { createRouter } from './app.ts';
export type { RouterConfig } from './config.ts';
export { ROUTER_OPTIONS } from './config.ts';
