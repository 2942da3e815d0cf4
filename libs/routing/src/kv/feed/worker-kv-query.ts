/** Asks workers for KV events that were missed, or for all that they hold (RP 3.4). */
import { DynamoError, instanceIdHex, onAbort } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import {
  WORKER_KV_QUERY_ENDPOINT,
  WorkerKvQueryRequest,
  formatEndpointPath,
} from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';

import type { Recovery } from '@dynamo-ts/kv';
import { Context } from '@dynamo-ts/runtime';
import type { Client, DistributedRuntime, RawResponse } from '@dynamo-ts/runtime';

/** Answers an encoded `WorkerKvQueryRequest` with encoded `WorkerKvQueryResponse` items. */
export type AskWorker = (request: Uint8Array) => Promise<readonly Uint8Array[]>;

/** A worker that is silent for longer has failed. */
const SILENCE_MS = 5000;
/** No cache of one rank has a larger snapshot: 16 million blocks. */
const MOST_BYTES = 512 * 1024 * 1024;

/** Client of the workers' index queries. */
export class WorkerKvQuery implements AsyncDisposable {
  readonly #client: Client;
  readonly #present = new Set<bigint>();
  readonly #off: () => void;

  private constructor(client: Client) {
    this.#client = client;
    this.#off = client.onInstances(({ kind, instance: { instanceId } }) => {
      if (kind === 'added') this.#present.add(instanceId);
      else this.#present.delete(instanceId);
    });
  }

  /** Finds the workers of a component. */
  static async connect(runtime: DistributedRuntime, path: EndpointPath): Promise<WorkerKvQuery> {
    const endpoint = formatEndpointPath({ ...path, endpoint: WORKER_KV_QUERY_ENDPOINT });
    // A worker that cannot answer this may serve requests well.
    return new WorkerKvQuery(await runtime.endpoint(endpoint).client({ faultDetection: false }));
  }

  /** Whether a worker can be asked now. */
  answers(workerId: InstanceId): boolean {
    return this.#present.has(workerId);
  }

  /**
   * The worker's answer, as encoded `WorkerKvQueryResponse` items.
   *
   * @throws `backend.unavailable` when the worker does not answer queries, `transport.*` when it breaks
   */
  async ask(recovery: Recovery, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const { workerId } = recovery;
    const context = new Context();
    const off = onAbort(signal, () => context.kill('superseded'));
    try {
      const response = await this.#client.openRaw(workerId, queryOf(recovery), context);
      return await allItems(response, workerId);
    } finally {
      off();
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#off();
    await this.#client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** What is asked, encoded. */
export function queryOf({ workerId, dpRank, epoch, startEventId }: Recovery): Uint8Array {
  const request = WorkerKvQueryRequest.create({ workerId, dpRank, epoch, startEventId });
  return WorkerKvQueryRequest.encode(request).finish();
}

async function allItems(response: RawResponse, workerId: bigint): Promise<readonly Uint8Array[]> {
  const items: Uint8Array[] = [];
  let sizeBytes = 0;
  for (;;) {
    const batch = await nextWithin(response, workerId);
    if (batch === undefined) return items;
    for (const item of batch) sizeBytes += item.byteLength;
    if (sizeBytes > MOST_BYTES) {
      response.cancel();
      throw new DynamoError(
        'transport.protocol',
        `worker ${instanceIdHex(workerId)} sent an index snapshot of more than ${MOST_BYTES} bytes`,
      );
    }
    items.push(...batch);
  }
}

async function nextWithin(
  response: RawResponse,
  workerId: bigint,
): Promise<readonly Uint8Array[] | undefined> {
  const timer = setTimeout(() => {
    const message = `worker ${instanceIdHex(workerId)} sent no index for ${SILENCE_MS} ms`;
    response.cancel(new DynamoError('transport.timeout', message));
  }, SILENCE_MS);
  try {
    return await response.nextBatch();
  } finally {
    clearTimeout(timer);
  }
}
