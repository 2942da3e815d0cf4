/** The worker process: one engine behind the request plane. */
import { runService } from '@dynamo-ts/config';

import { createWorkerShim } from './app.ts';
import { WORKER_OPTIONS } from './config.ts';

await runService({
  command: 'dynamo worker',
  summary: 'Fronts one engine: starts or attaches to it, registers it, answers its requests.',
  options: WORKER_OPTIONS,
  argv: process.argv.slice(2),
  env: process.env,
  health: (config) => ({ port: config.systemPort, path: config.systemHealthPath }),
  create: (config) => createWorkerShim(config),
  stopTimeoutMs: (config) => config.gracePeriodMs + config.drainTimeoutMs + config.exitTimeoutMs,
});
