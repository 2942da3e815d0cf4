import type { DistributedRuntime, ServedEndpoint } from '@dynamo-ts/runtime';

import { ROUTER_METHODS } from './router-methods.ts';
import { ROUTER_COMPONENT, ROUTER_ENDPOINTS } from './router-names.ts';
import type { RouterMethodName } from './router-names.ts';
import type { RouterService } from './router-service.ts';

/** Serves a router's calls on the request plane as `{namespace}.router.route`, `….free` and so on. */
export async function serveRouterEndpoints(
  runtime: DistributedRuntime,
  namespace: string,
  service: RouterService,
): Promise<readonly ServedEndpoint[]> {
  const component = runtime.namespace(namespace).component(ROUTER_COMPONENT);
  const served: ServedEndpoint[] = [];
  for (const name of Object.keys(ROUTER_ENDPOINTS) as RouterMethodName[]) {
    const { callBytes } = ROUTER_METHODS[name];
    const endpoint = component.endpoint(ROUTER_ENDPOINTS[name]);
    served.push(
      await endpoint.serveRaw(async ({ payload, context, caller }, sink) => {
        sink.write(await callBytes(service, payload, { context, caller, onRequestPlane: true }));
        sink.end();
      }),
    );
  }
  return served;
}
