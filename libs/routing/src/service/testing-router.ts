/** Routers without an index over a runtime's instances; for tests. */
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import type { MetricsRegistry } from '@dynamo-ts/telemetry';

import { LocalEndpointRouter } from './local-endpoint-router.ts';
import type { OpenEndpointRouter } from './routed-endpoints.ts';

/** Opens a router by load alone for any endpoint. */
export function openLocal(
  runtime: DistributedRuntime,
  metrics?: MetricsRegistry,
): OpenEndpointRouter {
  return async (path) => {
    const client = await runtime.endpoint(formatEndpointPath(path)).client();
    return new LocalEndpointRouter({ client, routerId: runtime.instanceId, metrics });
  };
}
