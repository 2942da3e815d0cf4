import type { EndpointPath } from '@dynamo-ts/protocol';

/** Labels of what is measured per routed endpoint. */
export function endpointLabels({ namespace, component, endpoint }: EndpointPath): {
  readonly dynamo_namespace: string;
  readonly dynamo_component: string;
  readonly dynamo_endpoint: string;
} {
  return {
    dynamo_namespace: namespace,
    dynamo_component: component,
    dynamo_endpoint: endpoint,
  };
}
