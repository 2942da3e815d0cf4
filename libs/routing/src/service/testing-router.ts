/** Routers over a runtime's instances; for tests. */
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import type { MetricsRegistry } from '@dynamo-ts/telemetry';

import { KvRouter } from '../kv/kv-router.ts';
import type { RouterMode } from '../router-mode.ts';
import type { OpenEndpointRouter } from './routed-endpoints.ts';

/** Tokens per block of the routers that tests open. */
export const TEST_BLOCK_SIZE = 16;

/** Opens a router for any endpoint at once. */
export function openTestRouter(
  runtime: DistributedRuntime,
  options: { readonly metrics?: MetricsRegistry; readonly mode?: RouterMode } = {},
): OpenEndpointRouter {
  return (path) =>
    KvRouter.connect({
      runtime,
      path,
      blockSize: TEST_BLOCK_SIZE,
      logger: nullLogger,
      ...options,
    });
}
