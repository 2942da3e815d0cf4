// Serves hello_world.backend.generate: greets every word of the request, one a second.
import { setTimeout } from 'node:timers/promises';

import { dynamoWorker } from '@dynamo-ts/runtime';

import { loadConfiguration } from './configuration.ts';

async function* generate(request: string): AsyncGenerator<string> {
  for (const word of request.split(',')) {
    await setTimeout(1000);
    yield `Hello ${word}!`;
  }
}

await dynamoWorker(async (runtime) => {
  const component = runtime.namespace('hello_world').component('backend');
  const served = await component.endpoint('generate').serveEndpoint(generate);
  console.log(`serving as ${served.instance.instanceId.toString(16)}`);
}, loadConfiguration('server'));
