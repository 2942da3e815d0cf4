// A worker with a simulated engine: answers requests, tells what it caches and how busy it is.
import { registerModel } from '@dynamo-ts/models';
import {
  FinishReason,
  GenerateRequest,
  GenerateResponse,
  tokenIdsFromBytes,
} from '@dynamo-ts/protocol';
import { KvEventPublisher } from '@dynamo-ts/routing';
import type { DistributedRuntime, RawHandler, WorkerMetricsPublisher } from '@dynamo-ts/runtime';
import { MockEngine, decodeKvEvents } from '@dynamo-ts/sim';

import { BLOCK_SIZE, ENDPOINT } from './endpoint.ts';

const VOCABULARY = Uint32Array.from({ length: 1000 }, (_, id) => id);

/** Serves until the runtime closes. */
export async function startMockWorker(runtime: DistributedRuntime): Promise<MockEngine> {
  const component = runtime.namespace(ENDPOINT.namespace).component(ENDPOINT.component);
  const events = await KvEventPublisher.create({ runtime, component, kvBlockSize: BLOCK_SIZE });
  const metrics = await component.createMetricsPublisher();
  const engine: MockEngine = MockEngine.start(
    { blockSize: BLOCK_SIZE, numGpuBlocks: 256, vocabulary: VOCABULARY, seed: runtime.instanceId },
    {
      kvEvents: (records) => publishEvents(events, records),
      loadChanged: () => publishLoad(metrics, engine),
      failed: (error) => runtime.logger.error('the engine has failed', { error }),
    },
  );
  const endpoint = component.endpoint(ENDPOINT.endpoint);
  await registerModel({
    runtime,
    endpoint,
    modelName: 'mock',
    kvCacheBlockSize: BLOCK_SIZE,
    runtimeConfig: { totalKvBlocks: 256, kvEvents: true },
  });
  await endpoint.serveRaw(answerWith(engine));
  return engine;
}

function answerWith(engine: MockEngine): RawHandler {
  return ({ payload, context }, sink) => {
    const request = GenerateRequest.decode(payload);
    const tokenIds = tokenIdsFromBytes(request.tokenIdsLe);
    const handle = engine.submit(
      { tokenIds, maxTokens: request.stopConditions?.maxTokens },
      {
        onOutput: (output) => {
          const ids = output.tokenIds.slice(output.start, output.end);
          const response = GenerateResponse.fromPartial({
            tokenIdsLe: Buffer.from(ids.buffer),
            finishReason: output.finish,
          });
          if (output.finish !== FinishReason.FINISH_REASON_UNSPECIFIED) {
            const { cachedTokens } = output;
            response.usage = { promptTokens: tokenIds.length, completionTokens: 0, cachedTokens };
          }
          sink.write(GenerateResponse.encode(response).finish());
          if (output.finish !== FinishReason.FINISH_REASON_UNSPECIFIED) sink.end();
        },
      },
    );
    context.killed.addEventListener('abort', () => handle.cancel());
  };
}

function publishEvents(publisher: KvEventPublisher, records: Uint8Array): void {
  for (const event of decodeKvEvents(records)) {
    switch (event.kind) {
      case 'stored':
        publisher.publishStored({
          blockHashes: event.sequenceHashes,
          tokensHashes: event.localHashes,
          parentHash: event.parentHash,
        });
        break;
      case 'removed':
        publisher.publishRemoved(event.sequenceHashes);
        break;
      case 'cleared':
        publisher.clear();
    }
  }
}

function publishLoad(publisher: WorkerMetricsPublisher, engine: MockEngine): void {
  for (const [dpRank, load] of engine.loads.entries())
    publisher.publish({
      dpRank,
      activeRequests: load.running,
      waitingRequests: load.waiting,
      activeDecodeBlocks: load.activeBlocks,
      activePrefillTokens: load.prefillTokens,
      totalKvBlocks: load.totalBlocks,
    });
}
