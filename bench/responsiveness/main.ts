/**
 * Three figures that a user feels, with the mocker:
 * start of the command to the first token, event-loop stalls of the frontend under 100,000-token prompts, and the time
 * from a client's leaving to an idle engine.
 *
 *   npm run responsiveness -w @dynamo-ts/bench
 */
import { DynamoProcess, quantile } from '@dynamo-ts/testing';

import { longPrompts } from './long-prompts.ts';
import { disconnects } from './disconnects.ts';
import { ServicePair } from './service-pair.ts';

const STARTS = 7;

const starts = await startToFirstToken();
process.stdout.write(`dynamo up to the first token, ms:        ${describe(starts)}\n`);

{
  await using services = await ServicePair.start();
  const stalls = await longPrompts(services.url);
  process.stdout.write(
    `100,000-token prompts, ${stalls.prompts}: event loop ticks late by more than 5 ms: ${stalls.late} of ${stalls.ticks}` +
      ` (idle for as long: ${stalls.lateIdle} of ${stalls.ticksIdle}), prompt p50 ${quantile(stalls.durations, 0.5).toFixed(1)} ms\n`,
  );
  const times = await disconnects(services.url, services.workerStatusUrl);
  process.stdout.write(`client leaves to engine idle, ms (200):  ${describe(times)}\n`);
}

/** Milliseconds from the start of the command in a built checkout to the first streamed token. */
async function startToFirstToken(): Promise<readonly number[]> {
  const durations: number[] = [];
  for (let run = 0; run < STARTS; run += 1) {
    const started = performance.now();
    await using dynamo = new DynamoProcess(['up', '--port', '0']);
    const url = await dynamo.ready();
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'mocker', prompt: 'Hello', max_tokens: 4, stream: true }),
    });
    await response.body?.getReader().read();
    durations.push(performance.now() - started);
  }
  return durations;
}

/** p50, p99 and maximum in one line. */
function describe(values: readonly number[]): string {
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => quantile(values, share).toFixed(1));
  return `p50 ${p50}  p99 ${p99}  max ${max}`;
}
