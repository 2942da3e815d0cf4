import { runService } from '@dynamo-ts/config';

import { createRouter } from './app.ts';
import { ROUTER_OPTIONS } from './config.ts';

await runService({
  command: 'dynamo router',
  summary: 'Chooses the worker of every request and keeps book of what runs where.',
  options: ROUTER_OPTIONS,
  argv: process.argv.slice(2),
  env: process.env,
  health: (config) => ({ port: config.systemPort, path: config.systemHealthPath }),
  create: (config) => createRouter(config),
});
