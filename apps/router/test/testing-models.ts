/** Workers with model cards; for tests. */
import {
  GenerateResponse,
  ModelRecord,
  modelCardKey,
  parseEndpointPath,
} from '@dynamo-ts/protocol';
import type { DistributedRuntime, RawHandler } from '@dynamo-ts/runtime';

import { ENDPOINT } from './testing-fleet.ts';
import type { Fleet } from './testing-fleet.ts';

/** Models that tests serve, and the tokens per block of each. */
export const MODELS = { small: 16, tiny: 16, large: 64 } as const;

/** One of them. */
export type ModelName = keyof typeof MODELS;

/** Answers with the name of its model. */
const answering =
  (name: string): RawHandler =>
  (_request, sink) => {
    sink.write(GenerateResponse.encode(GenerateResponse.fromPartial({ text: name })).finish());
    sink.end();
  };

/** A worker with a model card for each of its models, as the shim publishes them. */
export async function worker(fleet: Fleet, ...models: readonly ModelName[]): Promise<bigint> {
  return (await workerRuntime(fleet, ...models)).instanceId;
}

/** The same, as the runtime of the worker's process. */
export async function workerRuntime(
  fleet: Fleet,
  ...models: readonly ModelName[]
): Promise<DistributedRuntime> {
  const runtime = await fleet.worker(answering(models.join(' ')));
  const path = parseEndpointPath(ENDPOINT);
  const { instanceId } = runtime;
  for (const model of models) {
    const record = ModelRecord.fromPartial({
      type: 'Model',
      ...path,
      instanceId,
      card: {
        displayName: model,
        kvCacheBlockSize: MODELS[model],
        runtimeConfig: { totalKvBlocks: 1000, maxNumBatchedTokens: 8192, dataParallelSize: 1 },
      },
    });
    const value = new TextEncoder().encode(JSON.stringify(ModelRecord.toJSON(record)));
    const key = `${modelCardKey(path, instanceId)}${model === models[0] ? '' : `/${model}`}`;
    await runtime.discovery.register({ key, value });
  }
  return runtime;
}
