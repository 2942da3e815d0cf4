/** Routers over a runtime's instances; for tests. */
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import type { MetricsRegistry } from '@dynamo-ts/telemetry';

import { KvRouter } from '../kv/kv-router.ts';
import type { RouterMode } from '../router-mode.ts';
import type { OpenEndpointRouter } from './routed-endpoint.ts';
import type { FollowModels } from './routed-endpoints.ts';

/** For workers that publish no model cards. */
export const noModels: FollowModels = () => ({
  isReady: true,
  list: () => [],
  gone: () => new Set(),
  [Symbol.asyncDispose]: async () => Promise.resolve(),
});

/** Tokens per block of the services that tests configure. */
export const TEST_BLOCK_SIZE = 16;

/** Opens a router for any endpoint at once. */
export function openTestRouter(
  runtime: DistributedRuntime,
  options: { readonly metrics?: MetricsRegistry; readonly mode?: RouterMode } = {},
): OpenEndpointRouter {
  return (path, blockSize) =>
    KvRouter.connect({
      runtime,
      path,
      blockSize,
      logger: nullLogger,
      ...options,
    });
}
