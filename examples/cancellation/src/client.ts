// Calls demo.middle.generate and stops after ten numbers.
import { Context, dynamoWorker } from '@dynamo-ts/runtime';

import { loadConfiguration } from './configuration.ts';

const ENOUGH = 10;

await dynamoWorker(async (runtime, signal) => {
  await using client = await runtime.endpoint('demo.middle.generate').client<string, number>();
  await client.waitForInstances({ signal });

  const context = new Context();
  for await (const number of await client.generate('count', { context })) {
    console.log(number);
    if (number === ENOUGH) context.stopGenerating();
  }
  console.log('the stream has ended');
}, loadConfiguration('client'));
