import type { EndpointPath } from '@dynamo-ts/protocol';

/** Component under which the router service is found. */
export const ROUTER_COMPONENT = 'router';

/** A call of the router service with one answer, by its name in the contract. */
export type RouterMethodName =
  | 'free'
  | 'prefillDone'
  | 'outputBlock'
  | 'renew'
  | 'overlap'
  | 'potentialLoads'
  | 'queryIndex'
  | 'getDecision'
  | 'listDecisions'
  | 'registerWorker'
  | 'unregisterWorker'
  | 'listWorkers'
  | 'route';

/** The router service's endpoints by call; `route` is last, because who can be asked for a place must take it back. */
export const ROUTER_ENDPOINTS: Readonly<Record<RouterMethodName, string>> = {
  free: 'free',
  prefillDone: 'prefill_done',
  outputBlock: 'output_block',
  renew: 'renew',
  overlap: 'overlap',
  potentialLoads: 'potential_loads',
  queryIndex: 'query_index',
  getDecision: 'get_decision',
  listDecisions: 'list_decisions',
  registerWorker: 'register_worker',
  unregisterWorker: 'unregister_worker',
  listWorkers: 'list_workers',
  route: 'route',
};

/** Path of one of the router service's endpoints. */
export function routerEndpointPath(namespace: string, name: RouterMethodName): EndpointPath {
  return { namespace, component: ROUTER_COMPONENT, endpoint: ROUTER_ENDPOINTS[name] };
}
