import process from 'node:process';

import { runService } from '@dynamo-ts/config';

import { createFrontend } from './app.ts';
import { FRONTEND_OPTIONS } from './config.ts';

/** How long connections and planes may take to close after the last request. */
const CLOSE_TIMEOUT_MS = 10_000;

await runService({
  command: 'dynamo frontend',
  summary: 'OpenAI-compatible HTTP endpoint in front of the workers of a deployment.',
  options: FRONTEND_OPTIONS,
  argv: process.argv.slice(2),
  env: process.env,
  health: (config) => ({ port: config.httpPort, path: config.healthPath }),
  create: (config) => createFrontend(config),
  stopTimeoutMs: (config) => config.httpGracefulShutdownTimeoutMs + CLOSE_TIMEOUT_MS,
});
