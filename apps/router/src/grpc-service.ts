import { FreeResponse, PrefillDoneResponse, RouterServiceService } from '@dynamo-ts/protocol';
import type { RouterService } from '@dynamo-ts/routing';
import { unaryMethod } from '@dynamo-ts/runtime';
import type { GrpcService } from '@dynamo-ts/runtime';

/** Full name of the public service, as in its contract. */
export const ROUTER_GRPC_SERVICE = 'dynamo.router.v1.RouterService';

/** The router as a gRPC service, for callers that are not on the request plane. */
export function routerGrpcService(service: RouterService): GrpcService {
  return {
    definition: RouterServiceService,
    implementation: {
      route: unaryMethod(async (...[request, context]: Parameters<typeof service.route>) =>
        service.route(request, context),
      ),
      prefillDone: unaryMethod(async (request: Parameters<typeof service.prefillDone>[0]) => {
        await service.prefillDone(request);
        return PrefillDoneResponse.create();
      }),
      free: unaryMethod(async (request: Parameters<typeof service.free>[0]) => {
        await service.free(request);
        return FreeResponse.create();
      }),
    },
  };
}
