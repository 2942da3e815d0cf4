import { DynamoError } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import { MODEL_CARDS_PREFIX, encodeSegment, readModelRecord } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { DistributedRuntime } from '@dynamo-ts/runtime';

/** Discovery prefix of the model records of an endpoint. */
export function modelCardsPrefix({ namespace, component, endpoint }: EndpointPath): string {
  const segments = [namespace, component, endpoint].map(encodeSegment);
  return `${MODEL_CARDS_PREFIX}${segments.join('/')}/`;
}

/**
 * Tokens per block of the models at an endpoint: that of the first model card that says one, now or later.
 *
 * @throws the signal's reason, `runtime.closed`
 */
export async function learnBlockSize(
  runtime: DistributedRuntime,
  path: EndpointPath,
  { signal }: AbortOptions = {},
): Promise<number> {
  const stop = signal === undefined ? runtime.signal : AbortSignal.any([signal, runtime.signal]);
  for await (const event of runtime.discovery.watch(modelCardsPrefix(path), { signal: stop })) {
    const size = event.kind === 'put' ? blockSizeOf(event.key, event.value) : 0;
    if (size > 0) return size;
  }
  signal?.throwIfAborted();
  throw new DynamoError('runtime.closed', 'the distributed runtime is closed');
}

/** 0 for a record that says none or cannot be read. */
function blockSizeOf(key: string, value: Uint8Array): number {
  try {
    return readModelRecord(key, value).card?.kvCacheBlockSize ?? 0;
  } catch {
    return 0;
  }
}
