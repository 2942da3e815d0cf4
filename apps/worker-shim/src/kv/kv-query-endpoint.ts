/** Serves a worker's index to routers that start, or that missed events. */
import { DynamoError } from '@dynamo-ts/base';
import { WORKER_KV_QUERY_ENDPOINT, formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { DistributedRuntime, RawHandler, ServedEndpoint } from '@dynamo-ts/runtime';

import type { KvPublication } from './kv-publication.ts';

/** Settings of {@link serveKvQueries}. */
export interface KvQueryEndpointOptions {
  readonly runtime: DistributedRuntime;
  /** The endpoint that generates. */
  readonly path: EndpointPath;
  readonly publication: Pick<KvPublication, 'query'>;
}

/** Answers queries until it is closed. */
export function serveKvQueries(options: KvQueryEndpointOptions): Promise<ServedEndpoint> {
  const { path, publication, runtime } = options;
  const handle: RawHandler = async ({ context, payload }, sink) => {
    const items = await publication.query(payload);
    if (items === undefined) {
      throw new DynamoError('backend.unavailable', 'this worker has no index of its cache now');
    }
    for (const item of items) {
      if (context.isStopped()) break;
      if (!sink.write(item)) await sink.drained();
    }
    sink.end();
  };
  return runtime
    .endpoint(formatEndpointPath({ ...path, endpoint: WORKER_KV_QUERY_ENDPOINT }))
    .serveRaw(handle, { gracefulShutdown: false });
}
