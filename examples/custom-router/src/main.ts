// Two workers and a router of one's own in one process: prompts of two families, each of which ends up on one worker.
import { asInstanceId, instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import {
  GenerateRequest,
  GenerateResponse,
  formatEndpointPath,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Context, DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { Client } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

import { CustomRouter } from './custom-router.ts';
import { ENDPOINT } from './endpoint.ts';
import { startMockWorker } from './mock-worker.ts';

const SHARED_TOKENS = 640;

await using planes = createLocalPlanes();
const connect = (id: bigint): Promise<DistributedRuntime> =>
  DistributedRuntime.connect({ ...planes, logger: nullLogger, instanceId: asInstanceId(id) });

await using first = await connect(1n);
await using second = await connect(2n);
await using firstEngine = await startMockWorker(first);
await using secondEngine = await startMockWorker(second);
await using runtime = await connect(3n);
await using client = await runtime.endpoint(formatEndpointPath(ENDPOINT)).client();
await using router = await CustomRouter.connect(runtime);

for (let turn = 0; turn < 3; turn++) {
  for (const family of [1, 2]) {
    const prompt = promptOf(family, turn);
    const { workerId, hitRatio, score } = router.choose(prompt);
    const cachedTokens = await send(client, workerId, prompt);
    console.log(
      `family ${family} turn ${turn}: worker ${instanceIdHex(workerId)}`,
      `score ${score.toFixed(2)}, expected hit rate ${hitRatio.toFixed(2)},`,
      `engine had ${cachedTokens} of ${prompt.length} tokens`,
    );
    // Its events are on their way when the answer ends.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
console.log(`prefill of worker 1: ${prefill(firstEngine)}, of worker 2: ${prefill(secondEngine)}`);

/** A prompt that shares its beginning with others of its family. */
function promptOf(family: number, turn: number): Uint32Array {
  return Uint32Array.from({ length: SHARED_TOKENS + 64 }, (_, index) =>
    index < SHARED_TOKENS ? family * 10_000 + index : family * 10_000 + turn * 1000 + index,
  );
}

/** Sends a prompt to one worker. @returns the prompt tokens that its engine had in cache */
async function send(to: Client, workerId: InstanceId, tokenIds: Uint32Array): Promise<number> {
  const request = GenerateRequest.fromPartial({
    tokenIdsLe: Buffer.from(tokenIdsToBytes(tokenIds)),
    stopConditions: { maxTokens: 8 },
  });
  const payload = GenerateRequest.encode(request).finish();
  const response = await to.openRaw(workerId, payload, new Context());
  let cachedTokens = 0;
  for await (const item of response)
    cachedTokens = GenerateResponse.decode(item).usage?.cachedTokens ?? cachedTokens;
  return cachedTokens;
}

function prefill(engine: { totals(): readonly { readonly prefillTokens: number }[] }): number {
  return engine.totals().reduce((sum, { prefillTokens }) => sum + prefillTokens, 0);
}
