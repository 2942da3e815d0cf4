/**
 * Many workers that have nothing to do, in one process: each with an instance, a model card and an index of its own.
 *
 *   fleet.ts WORKERS BLOCKS_PER_WORKER [--discovery-backend=… and what else says where the planes are]
 */
import { COMMON_OPTIONS, defineOptions, loadConfig } from '@dynamo-ts/config';
import { DistributedRuntime, createPlanes } from '@dynamo-ts/runtime';
import type { RawHandler } from '@dynamo-ts/runtime';
import { LocalKvIndexer } from '@dynamo-ts/kv';
import { registerModel } from '@dynamo-ts/models';
import { nullLogger } from '@dynamo-ts/telemetry';

const BLOCK_SIZE = 16;
const NAMESPACE = 'dynamo';
const [workers = '1000', blocks = '1000', ...argv] = process.argv.slice(2);

const { config } = loadConfig(defineOptions({ ...COMMON_OPTIONS }), {
  argv,
  env: process.env,
  command: 'fleet',
  summary: 'Many idle workers in one process.',
});
const planes = await createPlanes({ ...config, logger: nullLogger });
for (let worker = 0; worker < Number(workers); worker += 1) await startWorker(worker);
process.stdout.write('ready\n');

async function startWorker(worker: number): Promise<void> {
  const runtime = await DistributedRuntime.connect({
    ...planes,
    namespace: NAMESPACE,
    logger: nullLogger,
  });
  const component = runtime.namespace(NAMESPACE).component('backend');
  const index = filledIndex(runtime, worker);
  await component.endpoint('worker_kv_indexer_query').serveRaw(answerQueries(index));
  const endpoint = component.endpoint('generate');
  await endpoint.serveRaw((_request, sink) => {
    sink.end();
  });
  await registerModel({
    runtime,
    endpoint,
    modelName: 'idle',
    kvCacheBlockSize: BLOCK_SIZE,
    runtimeConfig: { totalKvBlocks: Number(blocks), kvEvents: true, dataParallelSize: 1 },
  });
}

/** A worker's index with half of its blocks in a prefix that all workers have. */
function filledIndex(runtime: DistributedRuntime, worker: number): LocalKvIndexer {
  const index = new LocalKvIndexer({
    workerId: runtime.instanceId,
    epoch: 1n,
    blockSize: BLOCK_SIZE,
    dpStart: 0,
  });
  const count = Number(blocks);
  const shared = Math.floor(count / 2);
  const hashes = BigUint64Array.from({ length: count }, (_, block) =>
    BigInt(block < shared ? block + 1 : (worker + 1) * 1_000_003 + block),
  );
  index.stored(0, 'device', { blockHashes: hashes, tokensHashes: hashes });
  while (index.flush() !== undefined);
  return index;
}

function answerQueries(index: LocalKvIndexer): RawHandler {
  return async ({ payload }, sink) => {
    for (const item of await index.query(payload)) sink.write(item);
    sink.end();
  };
}
