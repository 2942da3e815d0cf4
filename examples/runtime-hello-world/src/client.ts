// Calls hello_world.backend.generate again and again, also while workers come and go.
import { Backoff, systemClock } from '@dynamo-ts/base';
import { dynamoWorker } from '@dynamo-ts/runtime';

import { loadConfiguration } from './configuration.ts';

await dynamoWorker(async (runtime, signal) => {
  const endpoint = runtime.endpoint('hello_world.backend.generate');
  await using client = await endpoint.client<string, string>();
  await client.waitForInstances({ signal });

  const backoff = new Backoff({ initialMs: 100, maxMs: 5000 });
  while (!signal.aborted) {
    try {
      for await (const greeting of await client.generate('world,sun,moon,star')) {
        console.log(greeting);
      }
      backoff.reset();
    } catch (error) {
      console.log(`failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    // Ends the loop when the process is asked to stop.
    await systemClock.sleep(backoff.nextMs(), { signal });
  }
}, loadConfiguration('client'));
