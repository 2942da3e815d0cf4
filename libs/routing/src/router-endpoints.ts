import {
  FreeRequest,
  FreeResponse,
  PrefillDoneRequest,
  PrefillDoneResponse,
  RouteRequest,
  RouteResponse,
} from '@dynamo-ts/protocol';
import type { DistributedRuntime, RawHandler, ServedEndpoint } from '@dynamo-ts/runtime';

import { ROUTER_COMPONENT, ROUTER_ENDPOINTS } from './router-names.ts';
import type { RouterService } from './router-service.ts';

/** Serves a router on the request plane as `{namespace}.router.route|prefill_done|free`. */
export async function serveRouterEndpoints(
  runtime: DistributedRuntime,
  namespace: string,
  service: RouterService,
): Promise<readonly ServedEndpoint[]> {
  const component = runtime.namespace(namespace).component(ROUTER_COMPONENT);
  const handlers: Readonly<Record<keyof typeof ROUTER_ENDPOINTS, RawHandler>> = {
    free: async ({ payload }, sink) => {
      await service.free(FreeRequest.decode(payload));
      sink.write(FreeResponse.encode({}).finish());
      sink.end();
    },
    prefillDone: async ({ payload }, sink) => {
      await service.prefillDone(PrefillDoneRequest.decode(payload));
      sink.write(PrefillDoneResponse.encode({}).finish());
      sink.end();
    },
    route: async ({ payload, context, caller }, sink) => {
      const placement = await service.route(RouteRequest.decode(payload), context, caller);
      sink.write(RouteResponse.encode(placement).finish());
      sink.end();
    },
  };
  const served: ServedEndpoint[] = [];
  // `route` comes last: who can be asked for a place must be able to take it back.
  for (const name of ['free', 'prefillDone', 'route'] as const)
    served.push(await component.endpoint(ROUTER_ENDPOINTS[name]).serveRaw(handlers[name]));
  return served;
}
