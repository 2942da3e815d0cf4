// An engine of one's own behind the frontend: answers the last message in capitals, one word at a time.
import { COMMON_OPTIONS, SHUTDOWN_OPTIONS, failStart, loadConfig } from '@dynamo-ts/config';
import { engineHandler, registerModel } from '@dynamo-ts/models';
import type { EngineOutput, EngineRequest } from '@dynamo-ts/models';
import { dynamoWorker } from '@dynamo-ts/runtime';
import type { Context } from '@dynamo-ts/runtime';

import { promptOf } from './prompt.ts';

async function* generate(request: EngineRequest, context: Context): AsyncGenerator<EngineOutput> {
  const words = promptOf(request).toUpperCase().split(/\s+/);
  const limit = Math.min(words.length, request.stopConditions?.maxTokens ?? words.length);
  for (let index = 0; index < limit; index++) {
    if (context.isStopped()) return;
    yield { text: `${index === 0 ? '' : ' '}${words[index] ?? ''}` };
  }
  yield {
    finishReason: limit < words.length ? 'length' : 'eos',
    usage: { promptTokens: words.length, completionTokens: limit },
  };
}

const options = loadOptions();
await dynamoWorker(async (runtime) => {
  const endpoint = runtime.endpoint('dynamo.shouter.generate');
  await endpoint.serveRaw(engineHandler(generate));
  // The engine reads text; one that reads token ids gives the folder of its tokenizer as `modelPath`.
  const model = await registerModel({
    runtime,
    endpoint,
    modelInput: 'text',
    modelName: 'shouter',
    contextLength: 4096,
  });
  console.log(`serving ${model.card.displayName}`);
}, options);

function loadOptions(): Parameters<typeof dynamoWorker>[1] {
  try {
    const { config } = loadConfig(
      { ...COMMON_OPTIONS, ...SHUTDOWN_OPTIONS },
      { argv: process.argv.slice(2), env: process.env, command: 'worker', summary: 'A worker.' },
    );
    return config;
  } catch (error) {
    failStart(error, 'worker');
  }
}
