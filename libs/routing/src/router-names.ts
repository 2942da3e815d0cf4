import type { EndpointPath } from '@dynamo-ts/protocol';

/** Component under which the router service is found. */
export const ROUTER_COMPONENT = 'router';

/** The router service's endpoints, by what they do. */
export const ROUTER_ENDPOINTS = {
  route: 'route',
  prefillDone: 'prefill_done',
  free: 'free',
} as const;

/** Path of one of the router service's endpoints. */
export function routerEndpointPath(
  namespace: string,
  name: keyof typeof ROUTER_ENDPOINTS,
): EndpointPath {
  return { namespace, component: ROUTER_COMPONENT, endpoint: ROUTER_ENDPOINTS[name] };
}
