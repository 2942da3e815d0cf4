// Serves demo.middle.generate: passes requests on to demo.server.generate.
import { dynamoWorker } from '@dynamo-ts/runtime';
import type { Context } from '@dynamo-ts/runtime';

import { loadConfiguration } from './configuration.ts';

await dynamoWorker(async (runtime, signal) => {
  const client = await runtime.endpoint('demo.server.generate').client<string, number>();
  await client.waitForInstances({ signal });

  // The context must be handed on: that is what carries the caller's stop to the server.
  async function* generate(request: string, context: Context): AsyncGenerator<number> {
    yield* await client.generate(request, { context });
  }
  await runtime.endpoint('demo.middle.generate').serveEndpoint(generate);
  console.log('serving');
}, loadConfiguration('middle'));
