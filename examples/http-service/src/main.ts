// An OpenAI-compatible server around an engine of this process: no worker, no discovery, no configuration.
import { HttpService } from '@dynamo-ts/frontend';

import { reverser } from './reverser.ts';

const [host = '0.0.0.0', port = '8787'] = process.argv.slice(2);
const service = HttpService.builder()
  .host(host)
  .port(Number(port))
  .enableCompletionsEndpoints(false)
  .build();
service.modelManager().addChatCompletionsModel('reverser', reverser);

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());

const { url, finished } = await service.spawn(stop.signal);
console.log(`serving reverser on ${url}`);
await finished;
console.log('stopped');
