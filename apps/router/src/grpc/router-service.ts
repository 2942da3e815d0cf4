import { RouterServiceService } from '@dynamo-ts/protocol';
import type { RouterServiceSubscribeRequest } from '@dynamo-ts/protocol';
import { ROUTER_METHODS } from '@dynamo-ts/routing';
import type { RouterService } from '@dynamo-ts/routing';
import { serverStreamMethod, unaryMethod } from '@dynamo-ts/runtime';
import type { GrpcService } from '@dynamo-ts/runtime';

/** Full name of the public service, as in its contract. */
export const ROUTER_GRPC_SERVICE = 'dynamo.router.v1.RouterService';

/** The router as a gRPC service, for callers that are not on the request plane. */
export function routerGrpcService(service: RouterService): GrpcService {
  const unary: Record<string, ReturnType<typeof unaryMethod<unknown, unknown>>> = {};
  for (const [name, { call }] of Object.entries(ROUTER_METHODS))
    unary[name] = unaryMethod((request, context) => call(service, request, { context }));
  return {
    definition: RouterServiceService,
    implementation: {
      ...unary,
      subscribe: serverStreamMethod((request: RouterServiceSubscribeRequest, context) =>
        service.subscribe(request, { context }),
      ),
    },
  };
}
