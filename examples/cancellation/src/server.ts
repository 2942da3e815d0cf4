// Serves demo.server.generate: counts to 1,000, ten numbers a second, until its caller has had enough.
import { setTimeout } from 'node:timers/promises';

import { dynamoWorker } from '@dynamo-ts/runtime';
import type { Context } from '@dynamo-ts/runtime';

import { loadConfiguration } from './configuration.ts';

async function* generate(_request: string, context: Context): AsyncGenerator<number> {
  for (let number = 1; number <= 1000; number++) {
    if (context.isStopped()) {
      console.log(`stopped before ${number}`);
      return;
    }
    await setTimeout(100);
    yield number;
  }
}

await dynamoWorker(async (runtime) => {
  await runtime.endpoint('demo.server.generate').serveEndpoint(generate);
  console.log('serving');
}, loadConfiguration('server'));
